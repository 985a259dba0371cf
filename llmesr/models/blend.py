"""The sum of models that were trained apart, each weighed by how popular an item is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llmesr.models.scorers import Scorer


class BlendScorer:
    """score(u, i) = bias_i + sum over the members m of weight_m,i * score_m(u, i)."""

    def __init__(self, members: Sequence[Scorer], weights: Tensor, bias: Tensor) -> None:
        """``weights`` (M, N + 1) and ``bias`` (N + 1,)."""
        self.members, self.weights, self.bias = tuple(members), weights, bias
        self.n_items = len(bias) - 1

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1)."""
        return self.summed(self.of_members(sequences, users))

    @torch.inference_mode()
    def of_members(self, sequences: Tensor, users: Tensor | None = None) -> list[Tensor]:
        """(B, N + 1) of each member."""
        return [member.score(sequences, users) for member in self.members]

    @torch.inference_mode()
    def shares(self, sequence: Tensor, users: Tensor | None, items: Tensor) -> tuple[list[Tensor], Tensor]:
        """What each member adds to ``items`` (C,) after one history (1, L), and the bias; (C,) each."""
        scores = self.of_members(sequence, users)
        return [(s[0] * weight)[items] for s, weight in zip(scores, self.weights, strict=True)], self.bias[items]

    def summed(self, scores: Sequence[Tensor]) -> Tensor:
        """What the members score, (B, N + 1) each, as one score."""
        total = self.bias.expand(len(scores[0]), -1).clone()
        for score, weight in zip(scores, self.weights, strict=True):
            total.addcmul_(score, weight)
        return total
