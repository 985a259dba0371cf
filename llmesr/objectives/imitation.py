"""Learning from the lists of another run (DELRec, Zhang et al. 2024, as an objective)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.objectives.base import EncodedBatch, Objective

ROWS = 256
"""Histories that the teacher scores at once."""


class Teacher(Protocol):
    """Whoever scores: histories (B, L) of users (B,) -> (B, N + 1)."""

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor: ...


class Imitation(Objective):
    """KL divergence from a frozen teacher's scores to ours over the teacher's best items, after every history.

    The teacher's scores have a scale of their own: they are brought to how far its best item stands above the mean of
    the list. ``popularity`` b takes b * log(1 + n) off them, so that a list of bestsellers does not drown the tail.
    """

    name = "imitation"
    taken: Tensor

    def __init__(
        self, *, teacher: Teacher, weight: float, items: int, item_counts: Tensor, popularity: float = 0.0
    ) -> None:
        """``items``: how many of the teacher's best; ``item_counts`` (N + 1,) training interactions."""
        super().__init__()
        self.teacher, self.weight, self.items = teacher, weight, items
        self.register_buffer("taken", popularity * torch.log1p(item_counts.float()), persistent=False)

    def examples(self, batch: EncodedBatch) -> int:
        return len(batch.targets)

    def forward(self, batch: EncodedBatch) -> Tensor:
        if batch.prefixes is None:
            raise RuntimeError("a teacher reads the histories before each position")
        table, total = batch.model.candidates(), torch.zeros((), device=batch.hidden.device)
        for start in range(0, len(batch.targets), ROWS):
            rows = slice(start, start + ROWS)
            items, said = self._list(batch.prefixes(rows), batch.owners[rows])  # (R, h) each
            own = torch.einsum("rd,rhd->rh", batch.hidden[rows], table[items].to(batch.hidden.dtype)).float()
            if batch.base is not None and batch.model.base is not None:
                own = own + batch.model.base() * batch.base(rows).gather(1, items)
            apart = said * (said.clamp(min=1e-12).log() - own.log_softmax(1))
            total = total + apart.sum()
        return total / max(len(batch.targets), 1)

    @torch.no_grad()
    def _list(self, histories: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's best unseen items and the probabilities it gives them, (R, h) each."""
        scores = self.teacher.score(histories, owners).float().clone()
        scores[:, PAD] = -torch.inf
        scores.scatter_(1, histories, -torch.inf)  # padding is out already
        value, items = scores.topk(min(self.items, scores.shape[1] - 1), dim=1)
        there = value.isfinite()
        mean = torch.where(there, value, 0.0).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        best = value[:, :1]
        logits = (value - best) / (best - mean).clamp(min=1e-6) - self.taken[items]
        return items, logits.masked_fill(~there, -torch.inf).softmax(1).nan_to_num()
