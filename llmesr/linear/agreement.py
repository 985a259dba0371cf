"""How far weights on each item's strongest others are those between all items."""

from __future__ import annotations

import torch
from torch import Tensor

from llmesr.linear.weights import Weights

STRONGEST = 10


def agreement(local: Weights, dense: Weights) -> dict[str, float]:
    """``strongest``: share of each candidate's 10 greatest dense weights that are among its 10 greatest local ones;
    ``correlation`` of all weights (Pearson). N^2 memory."""
    first, second = local.whole()[1:, 1:], dense.whole()[1:, 1:]
    many = min(STRONGEST, len(first) - 1)
    same = (_strongest(first, many)[:, :, None] == _strongest(second, many)[:, None, :]).any(2)
    pair = torch.stack([first.flatten(), second.flatten()])
    return {"strongest": float(same.float().mean()), "correlation": float(torch.corrcoef(pair)[0, 1])}


def _strongest(weights: Tensor, many: int) -> Tensor:
    """(N, many) the rows with the greatest weights of every column."""
    return weights.topk(many, dim=0).indices.T
