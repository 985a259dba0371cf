"""How alike items are by their vectors: a kernel that acts as if text added users who choose alike items together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.data.unit_rows import unit_rows

ROUNDING = 1e-5
"""Of a vector's length: what is left of it and shorter says nothing, where all are the same or nearly so."""


def centred(vectors: Tensor, like: Tensor | None = None) -> Tensor:
    """(N + 1, E) -> the same without their common mean, or that of ``like``, each of length 1; rows without a vector
    stay zero, and those that are the mean become so."""
    table = vectors.float()
    of = table if like is None else like.float()
    there = of.any(dim=1)
    if not there.any():
        return torch.zeros_like(table)
    apart = torch.where(table.any(dim=1)[:, None], table - of[there].mean(0), 0.0)
    same = apart.norm(dim=1) <= ROUNDING * table.norm(dim=1)
    return unit_rows(apart.masked_fill_(same[:, None], 0.0))


@dataclass(frozen=True, eq=False)
class Kernel:
    """weight * max(0, cos)^power of centred vectors; 0 for an item without one.

    A power of 2 is a product of positive semidefinite matrices before negative cosines are cut off; the cut can cost
    that property, which :func:`llmesr.linear.ridge.repaired` then restores.
    """

    vectors: Tensor  # (N + 1, E) from :func:`centred`
    weight: float
    power: float = 2.0

    @classmethod
    def of(cls, vectors: Tensor, weight: float, power: float, device: torch.device | str = "cpu") -> Kernel:
        """From item vectors (N + 1, E), row 0 zero."""
        return cls(centred(vectors.to(device)), weight, power)

    def rows(self, items: Tensor) -> Tensor:
        """(b,) items -> (b, N + 1)."""
        return self._shaped(self.vectors[items] @ self.vectors.T)

    def among(self, items: Tensor) -> Tensor:
        """(b, M) items -> (b, M, M) between the items of each row."""
        found = self.vectors[items]  # (b, M, E)
        return self._shaped(found @ found.transpose(1, 2))

    def between(self, items: Tensor, others: Tensor) -> Tensor:
        """(b,) items and (b, C) others -> (b, C)."""
        found = F.embedding(others, self.vectors) @ self.vectors[items][:, :, None]
        return self._shaped(found[:, :, 0])

    def _shaped(self, cosines: Tensor) -> Tensor:
        positive = cosines.clamp_(min=0)
        shaped = positive.square_() if self.power == 2 else positive.pow_(self.power)
        return shaped.mul_(self.weight)
