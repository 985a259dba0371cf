"""Scores of users by what was fitted on others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llmesr.models.scorers import Scorer


class Folded:
    """Each user is scored by one of several scorers: the one whose weights were fitted without that user.

    What is fitted on validation would flatter itself if it were judged by the same users (cross-fitting).
    """

    def __init__(self, scorers: Sequence[Scorer], fold: Tensor) -> None:
        """``fold`` (U,): which of ``scorers`` scores a user."""
        self.scorers, self.fold = tuple(scorers), fold
        self.n_items = scorers[0].n_items

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) and the known users (B,) -> (B, N + 1)."""
        if users is None:
            raise ValueError("who was fitted on decides who scores: users must be known")
        fold = self.fold[users]
        total = torch.zeros(len(sequences), self.n_items + 1, device=sequences.device)
        for number, scorer in enumerate(self.scorers):
            rows = (fold == number).nonzero()[:, 0]
            if len(rows):
                total[rows] = scorer.score(sequences[rows], users[rows]).float()
        return total
