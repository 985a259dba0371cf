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
from llmesr.evaluation.negatives import uniform_negatives
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

    def score(self, sequences: Tensor, users: Tensor | None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``frame``: one row per user and protocol (see :func:`evaluate`); ``top_items`` (U_eval, top) int32,
    rows in the order of ``dataset.split.users``, best first, under ``full``; 0 where there are fewer."""

    frame: pd.DataFrame
    top_items: np.ndarray


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
    processes: Processes = ALONE,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the target of every evaluated user under each protocol, all from the same scores.

    ``full``: among all items except those in the input history. Where the target repeats an item of that
    history (datasets that keep repeats), nothing is excluded for that user.
    ``uni100``: among the target and 100 uniform items outside the user's whole history, the same for
    every run on the dataset. Rank = 1 + items scored higher + half of those scored equal, rounded up.

    ``frame`` has user, user_id, target, target_id, part, protocol, rank, candidates, history_length and
    target_popularity; the last two are counts of the training part. ``top=0`` skips ``top_items`` and
    ``sequences`` may be kept between calls: both save time inside a training loop. Several ``processes`` rank a share
    of the users each and all return the whole.
    UserError when a score is not a number, naming the user.
    """
    sequences = sequences or Sequences(dataset, device)
    users = dataset.split.users
    given = torch.from_numpy(dataset.split.input_lengths(part).astype(np.int64)).to(sequences.device)
    whole = torch.from_numpy(dataset.lengths.astype(np.int64)).to(sequences.device)
    longest = int(dataset.lengths.max(initial=1))
    place = np.empty(dataset.n_users, np.int64)
    place[users] = np.arange(len(users))
    ranks = {p: np.zeros((2, len(users)), np.int32) for p in protocols}
    top_items = np.zeros((len(users), min(top, dataset.n_items)), np.int32)
    done = 0
    with torch.no_grad():
        for batch in in_order(processes.share(users), dataset.lengths, _rows(batch_size, dataset.n_items)):
            who = torch.from_numpy(batch).to(sequences.device)
            inputs, _ = sequences.padded(who, given[who], max_length)  # (B, L)
            history, _ = sequences.padded(who, whole[who], longest)  # (B, H)
            target = sequences.items[sequences.starts[who] + given[who]]  # (B,)
            seen = history.masked_fill(torch.arange(history.shape[1], device=who.device) >= given[who][:, None], PAD)
            # Were only a repeated target spared, "seen before" alone would rank it first.
            seen = seen.masked_fill((seen == target[:, None]).any(1, keepdim=True), PAD)
            scores = scorer.score(inputs, who).float()  # (B, N + 1)
            _check(scores, dataset, batch)
            rows = place[batch]
            if "full" in protocols:
                ranks["full"][:, rows] = _sliced(_full_ranks, scores, target, seen).cpu().numpy().T
            if "uni100" in protocols:
                drawn = uniform_negatives(who, history, dataset.n_items, seed=dataset.seed, part=part)
                ranks["uni100"][:, rows] = _sampled_ranks(scores, target, drawn).cpu().numpy().T
            if top:
                best = _sliced(lambda *cut: top_unseen(*cut, k=top_items.shape[1]), scores, seen)
                top_items[rows] = best.cpu().numpy()
            done += len(batch)
            progress(f"ranking ({part})", min(done * processes.size, len(users)), len(users))
    whole_ranks = {protocol: processes.merge(found) for protocol, found in ranks.items()}
    return Evaluation(_frame(dataset, part, whole_ranks), processes.merge(top_items))


def _rows(batch_size: int, n_items: int) -> int:
    return max(1, min(batch_size, BLOCK // (n_items + 1)))


def _sliced(work: Callable[..., Tensor], scores: Tensor, *columns: Tensor) -> Tensor:
    """``work`` on blocks of rows that fit the cache; all rows at once on an accelerator."""
    rows = len(scores) if scores.is_cuda else max(1, SLICE // scores.shape[1])
    blocks: Iterator[tuple[Tensor, ...]] = zip(*(t.split(rows) for t in (scores, *columns)), strict=True)
    return torch.cat([work(*block) for block in blocks])


def _full_ranks(scores: Tensor, target: Tensor, seen: Tensor) -> Tensor:
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
    ordered = seen.sort(dim=1).values
    distinct = (ordered[:, 1:] != ordered[:, :-1]).sum(1) + (ordered[:, 0] != PAD)  # without the padding
    others = scores.shape[1] - 2 - distinct  # candidates besides the target
    return torch.stack([1 + (others + total + 1).div(2, rounding_mode="floor"), 1 + others], 1)


def _sampled_ranks(scores: Tensor, target: Tensor, negatives: Tensor) -> Tensor:
    """(B, 2) rank and number of candidates among the target and ``negatives`` (B, 100), padded with 0."""
    own = scores.gather(1, target[:, None])
    other = scores.gather(1, negatives)
    real = negatives != PAD
    higher, equal = (real & (other > own)).sum(1), (real & (other == own)).sum(1)
    return torch.stack([1 + higher + (equal + 1).div(2, rounding_mode="floor"), 1 + real.sum(1)], 1)


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
    maxima = masked[:, :whole].unflatten(1, (-1, _CHUNK)).amax(2)
    chunks = maxima.topk(k, dim=1).indices  # (B, k)
    inside = (chunks[:, :, None] * _CHUNK + torch.arange(_CHUNK, device=scores.device)).flatten(1)
    rest = torch.arange(whole, masked.shape[1], device=scores.device).expand(len(masked), -1)
    columns = torch.cat([inside, rest], 1)
    value, at = masked.gather(1, columns).topk(k, dim=1)
    return torch.where(value == -torch.inf, PAD, columns.gather(1, at))


def _check(scores: Tensor, dataset: Dataset, batch: np.ndarray) -> None:
    if scores.shape != (len(batch), dataset.n_items + 1):
        raise ValueError(f"score() returned {tuple(scores.shape)}, expected {(len(batch), dataset.n_items + 1)}")
    bad = scores[:, 1:].amax(1).isnan()  # the maximum passes NaN on
    if bad.any():
        user = dataset.user_ids[batch[int(bad.nonzero()[0])]]
        raise UserError(
            f"The model's scores for user {user!r} are not numbers (NaN). Training has diverged: "
            "try a lower learning_rate, or check the embeddings for missing values."
        )


def _frame(dataset: Dataset, part: Part, ranks: dict[Protocol, np.ndarray]) -> pd.DataFrame:
    users, targets = dataset.split.users, dataset.split.targets(part)
    one = pd.DataFrame(
        {
            "user": users,
            "user_id": pd.array(dataset.user_ids[users], dtype="str"),
            "target": targets,
            "target_id": pd.array(dataset.catalogue["item_id"].to_numpy(object)[targets - 1], dtype="str"),
            "part": part,
        }
    )
    counts = {"history_length": dataset.split.train_lengths[users], "target_popularity": dataset.item_counts[targets]}
    found = [one.assign(protocol=p, rank=rank, candidates=n, **counts) for p, (rank, n) in ranks.items()]
    frame = pd.concat(found, ignore_index=True)
    frame.attrs = {"dataset": dataset.id, "negatives_seed": dataset.seed}  # kept in parquet: comparing checks them
    return frame
