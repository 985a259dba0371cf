"""Scores of users by what was fitted on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from llmesr.models.scorers import Scorer


class Folded:
    """Each user is scored by one of several scorers: the one whose weights were fitted without that user.

    What is fitted on validation would flatter itself if it were judged by the same users (cross-fitting). Somebody
    unknown is scored by the last of them.
    """

    def __init__(self, scorers: Sequence[Scorer], fold: Tensor) -> None:
        """``fold`` (U,): which of ``scorers`` scores a user."""
        self.scorers, self.fold = tuple(scorers), fold
        self.n_items = scorers[0].n_items

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) and the known users (B,) -> (B, N + 1)."""
        total = torch.zeros(len(sequences), self.n_items + 1, device=sequences.device)
        for number, rows, who in self.rows_of(users):
            total[rows] = self.scorers[number].score(sequences[rows], who).float()
        return total

    def rows_of(self, users: Tensor | None) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Which of the scorers scores whom: its number, the rows of ``users`` (B,) and who they are, for those that
        score any. ValueError without ``users``."""
        if users is None:
            raise ValueError("who was fitted on decides who scores: users must be known")
        fold = torch.where(users < 0, len(self.scorers) - 1, self.fold[users.clamp(min=0)])
        for number in range(len(self.scorers)):
            if len(rows := (fold == number).nonzero()[:, 0]):
                yield number, rows, users[rows]
