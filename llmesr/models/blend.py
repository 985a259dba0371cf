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
        total = self.bias.expand(len(sequences), -1).clone()
        for member, weight in zip(self.members, self.weights, strict=True):
            total.addcmul_(member.score(sequences, users), weight)
        return total
