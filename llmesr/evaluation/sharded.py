"""Ranks where no process has all items: each scores those it keeps, for the same users, and what it counts is added up.

Exact, as :mod:`llmesr.evaluation.ranks`: how many items score higher than a target is a sum over the processes, and the
best of all are the best among the best of each. A batch of users costs P x 20 numbers a user between the processes, and
no item vector leaves its owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.config import Protocol as Ranking
from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.frames import Ranks
from llmesr.evaluation.questions import Batch, Questions
from llmesr.evaluation.ranks import (
    PROTOCOLS,
    Evaluation,
    check,
    distinct,
    evaluate,
    rows_at_once,
    sampled_ranks,
)
from llmesr.ids import PAD
from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent


@runtime_checkable
class KeptScores(Protocol):
    """A model that scores the items r, r + P, ... (but for the padding) in process r of P. ``represent``: (B, L), in
    all processes at once -> (B, D); ``score_kept``: (B, D) -> (B, n)."""

    def represent(self, sequences: Tensor) -> Tensor: ...

    def score_kept(self, states: Tensor) -> Tensor: ...


def ranked_by(scorer: object) -> Any:
    """What ranks with ``scorer``: :func:`evaluate_sharded`, or :func:`~llmesr.evaluation.ranks.evaluate`."""
    return evaluate_sharded if isinstance(scorer, KeptScores) else evaluate


def evaluate_sharded(
    scorer: KeptScores,
    dataset: Dataset,
    part: Part,
    *,
    protocols: Sequence[Ranking] = PROTOCOLS,
    top: int = 20,
    batch_size: int = 256,
    max_length: int = 50,
    device: torch.device | str = "cpu",
    sequences: Sequences | None = None,
    users: np.ndarray | None = None,
    processes: Processes = ALONE,
    progress: Progress = silent,
) -> Evaluation:
    """As :func:`~llmesr.evaluation.ranks.evaluate`; all processes ask the same users."""
    sequences = sequences or Sequences(dataset, device)
    asked = Questions(dataset, part, sequences, max_length, users)
    ranks = {p: np.zeros((2, asked.size), np.int32) for p in protocols}
    top_items, width = np.zeros((len(asked.users), top), np.int32), min(top, dataset.n_items)
    done = 0
    with torch.no_grad():
        for some in in_order(asked.users, dataset.lengths, rows_at_once(batch_size, dataset.n_items // processes.size)):
            batch = asked.batch(some)
            scores = scorer.score_kept(scorer.represent(batch.inputs)).float()
            check(scores, dataset, some)
            found = _Kept(scores, batch, dataset.n_items, processes)
            rows = asked.rows(some)  # (B, T)
            real = rows >= 0
            for protocol in protocols:
                of = found.full() if protocol == "full" else found.sampled(asked.negatives(batch))
                ranks[protocol][:, rows[real]] = of.cpu().numpy().swapaxes(0, 1)[:, real]
            if top:
                top_items[asked.place(some), :width] = found.best(width).cpu().numpy()
            done += len(some)
            progress(f"ranking ({part})", done, len(asked.users))
    return Evaluation(Ranks(dataset, part, asked.pairs, ranks), top_items)


class _Kept:
    """A batch of users and the scores of the items that this process keeps."""

    def __init__(self, scores: Tensor, batch: Batch, n_items: int, processes: Processes) -> None:
        """``scores`` (B, n)."""
        self.batch, self.n_items, self.processes = batch, n_items, processes
        self.first = processes.rank or processes.size
        """The first item that is kept: the padding is none."""
        self.scores = F.pad(scores, (0, 1), value=-torch.inf)  # the last column stands for the items of others
        self.unseen = self.scores.clone()
        self.unseen.scatter_(1, self._columns(batch.seen), -torch.inf)

    def _columns(self, items: Tensor) -> Tensor:
        """(B, C) items -> their columns."""
        mine = (items % self.processes.size == self.first % self.processes.size) & (items != PAD)
        return torch.where(mine, (items - self.first) // self.processes.size, self.scores.shape[1] - 1)

    def _of(self, items: Tensor) -> Tensor:
        """(B, C) items, whoever keeps them -> (B, C) their scores; 0 of the padding."""
        columns = self._columns(items)
        own = self.scores.gather(1, columns).masked_fill(columns == self.scores.shape[1] - 1, 0.0)
        return self.processes.total(own)

    def full(self) -> Tensor:
        """(B, 2, T) rank and number of candidates of each target among all unseen items."""
        own = self._of(self.batch.targets)
        higher = torch.stack([(self.unseen > one[:, None]).sum(1) for one in own.T], 1)
        equal = torch.stack([(self.unseen == one[:, None]).sum(1) for one in own.T], 1)
        higher, equal = self.processes.total(torch.stack([higher, equal]))
        others = (equal - 1).clamp(min=0)  # a target is no rival of itself
        candidates = (self.n_items - distinct(self.batch.seen))[:, None].expand_as(own)
        return torch.stack([1 + higher + (others + 1).div(2, rounding_mode="floor"), candidates], 1)

    def sampled(self, negatives: Tensor) -> Tensor:
        """(B, 2, T) the same among the targets and ``negatives`` (B, 100)."""
        items = torch.cat([self.batch.targets, negatives], 1)
        scores = F.pad(self._of(items), (1, 0))  # column 0 is the padding
        places = torch.where(items == PAD, PAD, torch.arange(1, scores.shape[1], device=items.device))
        many = self.batch.targets.shape[1]
        return sampled_ranks(scores, places[:, :many], places[:, many:])

    def best(self, k: int) -> Tensor:
        """(B, k) best unseen items, 0 where there are fewer."""
        value, column = self.unseen.topk(min(k, self.unseen.shape[1]), dim=1)
        short = k - value.shape[1]
        value, item = (
            F.pad(value, (0, short), value=-torch.inf),
            F.pad(self.first + column * self.processes.size, (0, short)),
        )
        values, items = (self.processes.gather(t).movedim(0, 1).flatten(1) for t in (value, item))  # (B, P * k)
        best, at = values.topk(k, dim=1)
        return torch.where(best == -torch.inf, PAD, items.gather(1, at))
