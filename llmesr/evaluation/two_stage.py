"""Ranks for catalogues that are too large to be scored whole for everybody.

First an inverted file over the item vectors finds candidates, then these are scored exactly. The rank of a target that
scores among the best :data:`DEPTH` is counted among the candidates: it is exact as far as they are all there, and how
many of the best are is measured. The rank of one that scores lower is estimated from a sample of the catalogue; no
metric at a cutoff of 20 depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.evaluation.frames import Ranks
from llmesr.evaluation.questions import Batch, Questions
from llmesr.evaluation.ranks import PROTOCOLS, Evaluation, check, distinct
from llmesr.evaluation.sample import validation_sample
from llmesr.ids import PAD
from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent
from llmesr.store import Manifest

DEPTH, TOP = 256, 20
"""Candidates of a user, and how many of the best ones the recall is measured by."""
DRAWN = 4096
"""Items that stand for the catalogue where a target is not among the best."""
MEASURED = 500
RECALL = 0.99
BATCH = 256


@runtime_checkable
class Product(Protocol):
    """A model whose score is the inner product of :meth:`represent` (B, L) -> (B, D) and a row of
    :meth:`item_matrix` (N + 1, D)."""

    def represent(self, sequences: Tensor) -> Tensor: ...

    def item_matrix(self) -> Tensor: ...


class Index(Protocol):
    """Finds rows with high inner products, in ``probed`` of its ``lists``."""

    lists: int
    probed: int

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(q, D) -> (q, k) rows, best first; -1 where it finds fewer."""
        ...


def recall_of(manifest: Manifest) -> float | None:
    """How many of the best 20 items were among the candidates a run was ranked by; None where every item was ranked."""
    said = manifest.info.get("ranking")
    return float(said["recall"]) if isinstance(said, Mapping) and said.get("kind") == "two-stage" else None


def described(recall: float) -> str:
    """In sentences: what a run whose candidates had that ``recall`` was."""
    return f"ranked by candidates, which hold {recall:.1%} of the {TOP} best items"


def note(manifest: Manifest) -> str | None:
    """What to bear in mind of the ranks of a run, in a sentence; None where every item was ranked."""
    recall = recall_of(manifest)
    return None if recall is None else f"{manifest.id} was {described(recall)}; ranks beyond are estimates."


class TwoStage:
    """Evaluates as :func:`~llmesr.evaluation.ranks.evaluate` does, by candidates. For models whose scores are inner
    products; one index for each of them. ``recall``: the share of the best 20 unseen items that were among the
    candidates, measured on 500 users of each part, the lowest of all."""

    def __init__(self, indexed: Callable[[np.ndarray], Index], recall: float = RECALL) -> None:
        """``indexed`` makes an index of vectors (N, D). Lists are probed until the candidates have this ``recall``."""
        self.indexed, self.wanted, self.recall, self.probed, self.lists = indexed, recall, 1.0, 0, 0
        self._searches: dict[int, tuple[Product, _Search]] = {}

    def report(self) -> dict[str, Any]:
        """For the manifest of a run."""
        return {
            "kind": "two-stage",
            "recall": round(self.recall, 4),
            "lists": self.lists,
            "probed": self.probed,
            "exact_to": DEPTH,
        }

    def __call__(
        self,
        scorer: Any,
        dataset: Dataset,
        part: Part,
        *,
        top: int = TOP,
        max_length: int = 50,
        device: torch.device | str = "cpu",
        sequences: Sequences | None = None,
        processes: Processes = ALONE,
        progress: Progress = silent,
    ) -> Evaluation:
        """UserError for a model whose scores are no inner products, and for one whose scores are no numbers."""
        if not isinstance(scorer, Product):
            raise UserError("ranking=two-stage searches item vectors, which this model has none of: use ranking=exact.")
        sequences = sequences or Sequences(dataset, device)
        if id(scorer) not in self._searches:
            self._searches[id(scorer)] = scorer, _Search(scorer, dataset, self.indexed)
        search = self._searches[id(scorer)][1]
        asked = Questions(dataset, part, sequences, max_length)
        self._measure(search, asked, dataset, part, sequences, max_length)
        ranks = {p: np.zeros((2, asked.size), np.int32) for p in PROTOCOLS}
        top_items, width = np.zeros((len(asked.users), top), np.int32), min(top, dataset.n_items)
        done = 0
        with torch.no_grad():
            for some in in_order(processes.share(asked.users), dataset.lengths, BATCH):
                batch = asked.batch(some)
                found = search.candidates(batch)
                rows = asked.rows(some)  # (B, T)
                real = rows >= 0
                for protocol, of in (("full", found.full()), ("uni100", found.sampled(asked.negatives(batch)))):
                    ranks[protocol][:, rows[real]] = of.cpu().numpy().swapaxes(0, 1)[:, real]  # type: ignore[index]
                if top:
                    top_items[asked.place(some), :width] = found.best(width).cpu().numpy()
                done += len(some)
                progress(f"ranking ({part})", min(done * processes.size, len(asked.users)), len(asked.users))
        whole = {protocol: processes.merge(of) for protocol, of in ranks.items()}
        return Evaluation(Ranks(dataset, part, asked.pairs, whole), processes.merge(top_items))

    def _measure(
        self, search: _Search, asked: Questions, dataset: Dataset, part: Part, sequences: Sequences, max_length: int
    ) -> None:
        """Probe more lists until a sample of users has the recall, or all lists are read."""
        if not len(asked.users):
            return
        users = validation_sample(dataset, MEASURED) if part == "valid" else None
        if users is None:
            rng = np.random.default_rng([dataset.seed, MEASURED])
            users = np.sort(rng.choice(asked.users, min(MEASURED, len(asked.users)), replace=False))
        sample = Questions(dataset, part, sequences, max_length, users)
        batches = [sample.batch(some) for some in in_order(users, dataset.lengths, 32)]
        found = search.recall(batches)
        while found < self.wanted and search.index.probed < search.index.lists:
            search.index.probed *= 2
            found = search.recall(batches)
        self.recall, self.probed, self.lists = min(self.recall, found), search.index.probed, search.index.lists


class _Search:
    """The index of one model, and what stands for its catalogue."""

    def __init__(self, scorer: Product, dataset: Dataset, indexed: Callable[[np.ndarray], Index]) -> None:
        self.scorer, self.dataset = scorer, dataset
        self.items = scorer.item_matrix().float()
        self.index = indexed(self.items[1:].cpu().numpy())
        rng = np.random.default_rng([dataset.seed, DRAWN])
        drawn = np.sort(rng.choice(dataset.n_items, min(DRAWN, dataset.n_items), replace=False)) + 1
        self.drawn = torch.from_numpy(drawn).to(self.items.device)

    def candidates(self, batch: Batch) -> _Found:
        """What the search finds for the users of a batch, scored."""
        read = self.scorer.represent(batch.inputs).float()  # (B, D)
        rows = self.index.search(read.cpu().numpy(), min(DEPTH, self.dataset.n_items))
        items = torch.from_numpy(rows).to(read.device) + 1  # (B, C), 0 where there were fewer
        return _Found(self, batch, read, items)

    def recall(self, batches: list[Batch]) -> float:
        """The share of the best unseen items that are among the candidates, by their scores."""
        shares = []
        with torch.no_grad():
            for batch in batches:
                found = self.candidates(batch)
                whole = found.read @ self.items.T
                whole[:, PAD] = -torch.inf
                whole.scatter_(1, batch.seen, -torch.inf)
                truth = whole.topk(min(TOP, self.dataset.n_items), dim=1).values
                many = torch.isfinite(truth).sum(1)
                worst = truth.gather(1, (many - 1).clamp(min=0)[:, None])
                largest = whole.masked_fill(~torch.isfinite(whole), 0.0).abs().amax(1, keepdim=True)
                as_good = (found.unseen >= worst - 1e-5 * largest) & torch.isfinite(found.unseen)
                shares.append((torch.minimum(as_good.sum(1), many) / many.clamp(min=1)).masked_fill(many == 0, 1.0))
        return float(torch.cat(shares).mean())


class _Found:
    """The candidates of a batch of users and their scores."""

    def __init__(self, search: _Search, batch: Batch, read: Tensor, items: Tensor) -> None:
        self.search, self.batch, self.read, self.items = search, batch, read, items
        self.scores = self._of(items).masked_fill(items == PAD, -torch.inf)  # (B, C)
        self.threshold = self.scores.masked_fill(items == PAD, torch.inf).amin(1, keepdim=True)  # (B, 1)
        barred = _among(items, batch.seen) & (items != PAD)
        self.unseen = self.scores.masked_fill(barred, -torch.inf)
        self.own = self._of(batch.targets)  # (B, T)
        check(self.own, search.dataset, batch.users.cpu().numpy())

    def _of(self, items: Tensor) -> Tensor:
        """(B, C) -> (B, C)."""
        product = F.embedding(items.clamp(min=PAD), self.search.items) @ self.read[:, :, None]
        return product[:, :, 0]

    def full(self) -> Tensor:
        """(B, 2, T) rank and number of candidates of each target among all unseen items."""
        count = (self.search.dataset.n_items - distinct(self.batch.seen))[:, None].expand_as(self.own)
        above, equal = self._counted(self.unseen, self.items)
        counted = 1 + above + (equal + 1).div(2, rounding_mode="floor")
        listed = torch.isfinite(self.unseen).sum(1, keepdim=True)
        drawn = self.search.drawn.expand(len(self.own), -1)
        scores = self.read @ self.search.items[self.search.drawn].T
        seen = _among(drawn, self.batch.seen)
        above, equal = self._counted(scores.masked_fill(seen, -torch.inf), drawn)
        share = (above + 0.5 * equal) / (~seen).sum(1, keepdim=True).clamp(min=1)
        guessed = torch.maximum((share * count).round().long(), listed) + 1
        ranks = torch.where(self.own >= self.threshold, counted, torch.minimum(guessed, count))
        return torch.stack([ranks, count], 1)

    def _counted(self, scores: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) how many of the unseen ``items`` (B, C) score higher than each target, and how many the same."""
        above, equal = [], []
        for own, target in zip(self.own.T, self.batch.targets.T, strict=True):
            other = scores.masked_fill(items == target[:, None], -torch.inf)
            above.append((other > own[:, None]).sum(1))
            equal.append((other == own[:, None]).sum(1))
        return torch.stack(above, 1), torch.stack(equal, 1)

    def sampled(self, negatives: Tensor) -> Tensor:
        """(B, 2, T) the same among the targets and ``negatives`` (B, 100)."""
        targets = self.batch.targets
        items = torch.cat([targets, negatives], 1) if targets.shape[1] > 1 else negatives
        scores = self._of(items).masked_fill(items == PAD, -torch.inf)
        above, equal = self._counted(scores, items)
        candidates = (items != PAD).sum(1, keepdim=True).expand_as(above)
        candidates = candidates if targets.shape[1] > 1 else candidates + 1
        return torch.stack([1 + above + (equal + 1).div(2, rounding_mode="floor"), candidates], 1)

    def best(self, k: int) -> Tensor:
        """(B, k) the best unseen items, 0 where there are fewer."""
        value, at = self.unseen.topk(min(k, self.unseen.shape[1]), dim=1)
        found = torch.where(torch.isfinite(value), self.items.gather(1, at), PAD)
        return F.pad(found, (0, k - found.shape[1]))


def _among(items: Tensor, seen: Tensor) -> Tensor:
    """(B, C) which of ``items`` (B, C) are in the same row of ``seen`` (B, H), however long that is: by search, as each
    item beside each one seen would take B * C * H."""
    ordered = seen.sort(1).values
    at = torch.searchsorted(ordered, items.contiguous()).clamp(max=seen.shape[1] - 1)
    return ordered.gather(1, at) == items
