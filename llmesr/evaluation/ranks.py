"""Where each user's held-out item is ranked: the one pass over scores that everything else derives from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.config import Protocol
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.frames import Ranks
from llmesr.evaluation.questions import Questions
from llmesr.ids import PAD
from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent

PROTOCOLS: tuple[Protocol, ...] = ("full", "uni100")
BLOCK = 2**24
"""Most scores held at once (64 MB of float32): large catalogues get smaller batches."""
SLICE = 2**19
"""Scores worked on at once on the CPU, so that the passes over them stay in its cache."""
_CHUNK = 64


class Scores(Interface):
    """What is evaluated. ``sequences`` (B, L) items padded on the right, ``users`` (B,) -> (B, N + 1) scores."""

    def score(self, sequences: Tensor, users: Tensor | None, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``top_items`` (U_eval, top) int32, rows in the order of ``dataset.split.users("test")``, best first, under
    ``full``; 0 where there are fewer."""

    ranks: Ranks
    top_items: np.ndarray

    @property
    def frame(self) -> pd.DataFrame:
        """One row per user, protocol and target (see :func:`evaluate`), made when it is first asked for."""
        return self.ranks.frame


def evaluate(
    scorer: Scores,
    dataset: Dataset,
    part: Part,
    *,
    protocols: Sequence[Protocol] = PROTOCOLS,
    top: int = 20,
    batch_size: int = 256,
    max_length: int = 50,
    device: torch.device | str = "cpu",
    sequences: Sequences | None = None,
    users: np.ndarray | None = None,
    processes: Processes = ALONE,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the targets of every evaluated user under each protocol, all from the same scores.

    ``full``: among all items except those in the input history. Where a target repeats an item of that
    history (datasets that keep repeats), nothing is excluded for that user.
    ``uni100``: among the targets and 100 uniform items outside the user's whole history, the same for
    every run on the dataset. Rank = 1 + items scored higher + half of those scored equal, rounded up.
    Where the split asks for several items of a user, they are candidates of one list.

    ``frame`` has one row per user, protocol and target: user, user_id, target, target_id, part, protocol, rank,
    candidates, history_length and target_popularity; the last two are counts of the training part. ``top=0`` skips
    ``top_items`` and ``sequences`` may be kept between calls: both save time inside a training loop. Of ``users``, in
    rising order, only those are asked (:func:`~llmesr.evaluation.sample.validation_sample`). Several
    ``processes`` rank a share of the users each and all return the whole.
    UserError when a score is not a number, naming the user.
    """
    sequences = sequences or Sequences(dataset, device)
    asked = Questions(dataset, part, sequences, max_length, users)
    ranks = {p: np.zeros((2, asked.size), np.int32) for p in protocols}
    top_items, width = np.zeros((len(asked.users), top), np.int32), min(top, dataset.n_items)
    done = 0
    with torch.no_grad():
        for some in in_order(processes.share(asked.users), dataset.lengths, rows_at_once(batch_size, dataset.n_items)):
            batch = asked.batch(some)
            scores = scorer.score(batch.inputs, batch.users).float()  # (B, N + 1)
            _check_shape(scores, dataset, some)
            check(scores[:, 1:], dataset, some)
            rows = asked.rows(some)  # (B, T)
            real = rows >= 0
            if "full" in protocols:
                found = _sliced(full_ranks, scores, batch.targets, batch.seen)  # (B, 2, T)
                ranks["full"][:, rows[real]] = found.cpu().numpy().swapaxes(0, 1)[:, real]
            if "uni100" in protocols:
                found = sampled_ranks(scores, batch.targets, asked.negatives(batch))
                ranks["uni100"][:, rows[real]] = found.cpu().numpy().swapaxes(0, 1)[:, real]
            if top:
                best = _sliced(lambda *cut: top_unseen(*cut, k=width), scores, batch.seen)
                top_items[asked.place(some), :width] = best.cpu().numpy()
            done += len(some)
            progress(f"ranking ({part})", min(done * processes.size, len(asked.users)), len(asked.users))
    whole_ranks = {protocol: processes.merge(found) for protocol, found in ranks.items()}
    return Evaluation(Ranks(dataset, part, asked.pairs, whole_ranks), processes.merge(top_items))


def rows_at_once(batch_size: int, n_items: int) -> int:
    return max(1, min(batch_size, BLOCK // (n_items + 1)))


def _sliced(work: Callable[..., Tensor], scores: Tensor, *columns: Tensor) -> Tensor:
    """``work`` on blocks of rows that fit the cache; all rows at once on an accelerator."""
    rows = len(scores) if scores.is_cuda else max(1, SLICE // scores.shape[1])
    blocks: Iterator[tuple[Tensor, ...]] = zip(*(torch.split(t, rows) for t in (scores, *columns)), strict=True)
    return torch.cat([work(*block) for block in blocks])


def full_ranks(scores: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
    """(B, 2, T) rank and number of candidates of each target among all unseen items."""
    if targets.shape[1] > 1:
        return _several_ranks(scores, targets, seen)
    return _one_rank(scores, targets[:, 0], seen)[:, :, None]


def _one_rank(scores: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    """(B, 2) rank and number of candidates among all unseen items.

    One pass: with s = sign(score - target's score) summed over the candidates and n of them, the rank
    1 + higher + ceil(equal / 2) is 1 + ceil((n - 1 + s) / 2), since n - 1 = higher + equal + lower.
    """
    own = scores.gather(1, target[:, None])  # (B, 1)
    sign = scores - own  # (B, N + 1)
    sign[:, PAD] = 0
    sign.scatter_(1, seen, 0)
    total = sign.sign_().sum(1).long()
    if not own.isfinite().all():  # inf - inf is not a number: compare instead
        sign = (scores > own).float() - (scores < own).float()
        sign[:, PAD] = 0
        total = sign.scatter_(1, seen, 0).sum(1).long()
    others = scores.shape[1] - 2 - distinct(seen)  # candidates besides the target
    return torch.stack([1 + (others + total + 1).div(2, rounding_mode="floor"), 1 + others], 1)


def _several_ranks(scores: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
    """The same for several targets, which are candidates of one list: sorted once, then looked up."""
    own = scores.gather(1, targets)  # (B, T)
    masked = scores.clone()
    masked[:, PAD] = torch.inf
    masked.scatter_(1, seen, torch.inf)  # behind everything, so that they are a number to take away
    ordered = masked.sort(dim=1).values
    lower, upper = torch.searchsorted(ordered, own), torch.searchsorted(ordered, own, right=True)
    candidates = (scores.shape[1] - 1 - distinct(seen))[:, None].expand_as(own)
    higher, equal = candidates - upper, upper - lower - 1  # without the target itself
    return torch.stack([1 + higher + (equal + 1).div(2, rounding_mode="floor"), candidates], 1)


def distinct(seen: Tensor) -> Tensor:
    """(B, H) -> (B,) different items in each row, the padding left out."""
    ordered = seen.sort(dim=1).values
    return (ordered[:, 1:] != ordered[:, :-1]).sum(1) + (ordered[:, 0] != PAD)


def sampled_ranks(scores: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """(B, 2, T) rank and number of candidates among the targets and ``negatives`` (B, 100); both padded with 0."""
    own = scores.gather(1, targets)[:, :, None]  # (B, T, 1)
    items = torch.cat([targets, negatives], 1) if targets.shape[1] > 1 else negatives
    other = scores.gather(1, items)[:, None]  # (B, 1, C)
    real = (items != PAD)[:, None]
    higher, equal = (real & (other > own)).sum(2), (real & (other == own)).sum(2)
    candidates = real.sum(2).expand_as(higher)
    if targets.shape[1] > 1:  # a target is among the items
        equal = equal - 1
    else:
        candidates = candidates + 1
    return torch.stack([1 + higher + (equal + 1).div(2, rounding_mode="floor"), candidates], 1)


def top_unseen(scores: Tensor, seen: Tensor, *, k: int) -> Tensor:
    """(B, k) best items outside ``seen``, 0 where there are fewer or the score is -inf."""
    masked = scores.clone()
    masked[:, PAD] = -torch.inf
    masked.scatter_(1, seen, -torch.inf)
    whole = masked.shape[1] // _CHUNK * _CHUNK
    if whole < 2 * k * _CHUNK:
        value, item = masked.topk(k, dim=1)
        return torch.where(value == -torch.inf, PAD, item)
    # The k best items lie in the k chunks with the highest maxima (or in the rest behind the last chunk);
    # finding maxima is several times cheaper than a top-k over the whole row.
    maxima = masked[:, :whole].reshape(len(masked), -1, _CHUNK).amax(2)
    chunks = maxima.topk(k, dim=1).indices  # (B, k)
    inside = (chunks[:, :, None] * _CHUNK + torch.arange(_CHUNK, device=scores.device)).flatten(1)
    rest = torch.arange(whole, masked.shape[1], device=scores.device).expand(len(masked), -1)
    columns = torch.cat([inside, rest], 1)
    value, at = masked.gather(1, columns).topk(k, dim=1)
    return torch.where(value == -torch.inf, PAD, columns.gather(1, at))


def _check_shape(scores: Tensor, dataset: Dataset, batch: np.ndarray) -> None:
    if scores.shape != (len(batch), dataset.n_items + 1):
        raise ValueError(f"score() returned {tuple(scores.shape)}, expected {(len(batch), dataset.n_items + 1)}")


def check(scores: Tensor, dataset: Dataset, batch: np.ndarray) -> None:
    """UserError where a score (B, C) of a user of ``batch`` (B,) is not a number."""
    bad = scores.amax(1).isnan()  # the maximum passes NaN on
    if bad.any():
        user = dataset.user_ids[batch[int(bad.nonzero()[0])]]
        raise UserError(
            f"The model's scores for user {user!r} are not numbers (NaN). Training has diverged: "
            "try a lower learning_rate, or check the embeddings for missing values."
        )
