"""Weights of the parts of a score that follow an item's popularity."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from llmesr.config import Config

Weight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Curve = Annotated[tuple[Weight, ...], Field(max_length=32)]
PARTS = ("collaborative", "semantic", "content", "cooccurrence")
"""The parts of a score that have a weight."""


class PopularityWeights(Config):
    """The weight of every part of a score as a function of an item's training interactions n.

    Straight lines over log(1 + n) between the ``counts``, level outside; found by ``scoring.tuning.fit``.
    """

    counts: Annotated[tuple[Annotated[int, Field(ge=0, le=10**9)], ...], Field(min_length=1, max_length=32)] = Field(
        description="Training interactions at which the weights are given, increasing."
    )
    collaborative: Curve = Field(description="Weight of the collaborative part at each count.")
    semantic: Curve = Field(description="Weight of the semantic part.")
    content: Curve = Field(description="Multiplies gamma.")
    cooccurrence: Curve = Field(description="Multiplies the weight of the co-occurrence term.")
    bias: Curve = Field(description="Added to the score.")
    tail_emphasis: float = Field(
        0.0, ge=0, le=1e6, description="How much more a user whose target is a tail item counted in the fit: 1 + this."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(a >= b for a, b in pairwise(self.counts)):
            raise ValueError("counts must increase")
        if any(len(getattr(self, name)) != len(self.counts) for name in (*PARTS, "bias")):
            raise ValueError("every curve needs one value per count")
        return self

    def at(self, name: str, log_counts: Tensor) -> Tensor:
        """The curve ``name`` at items with these log(1 + n), (N + 1,) -> (N + 1,)."""
        return (hats(self.counts, log_counts) @ torch.tensor(getattr(self, name), device=log_counts.device)).float()


def hats(counts: tuple[int, ...], log_counts: Tensor) -> Tensor:
    """(N + 1,) -> (N + 1, K): the share of each of K knots in a straight line between them."""
    knots = np.log1p(np.asarray(counts, float))
    places = log_counts.cpu().numpy()
    shares = [np.interp(places, knots, row) for row in np.eye(len(knots))]
    return torch.from_numpy(np.stack(shares, axis=1).astype(np.float32)).to(log_counts.device)
