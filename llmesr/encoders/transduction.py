"""HSTU (Zhai et al. 2024, Actions Speak Louder than Words): gated attention that adds up instead of sharing out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.encoders.dropout import Dropout

FARTHEST = 200
"""Distances from here on share one relative position bias."""


class TransductionUnit(nn.Module):
    """One layer, after equations 1 to 3 of the paper, without timestamps: (B, L, D) -> (B, L, D).

    A weight is SiLU of a score over the number of positions seen, so it tells how much of something there was, which
    a softmax forgets. The gate U takes the place of a position-wise network.
    """

    def __init__(self, *, embedding_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(embedding_size)
        self.inner = nn.Linear(embedding_size, 4 * embedding_size)
        self.distance_bias = nn.Parameter(torch.zeros(heads, FARTHEST + 1))
        self.mixed_norm = nn.LayerNorm(embedding_size)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(embedding_size, embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, size = x.shape
        gate, value, query, key = F.silu(self.inner(self.norm(x))).chunk(4, dim=-1)  # (B, L, D) each

        def split(part: Tensor) -> Tensor:
            return part.view(batch, length, self.heads, -1).transpose(1, 2)  # (B, H, L, D / H)

        steps = torch.arange(length, device=x.device)
        distances = (steps[:, None] - steps).clamp(0, FARTHEST)
        # Over the positions seen, not the width of the batch: padding must not change a state.
        share = torch.ones(length, length, device=x.device).tril() / (steps + 1)[:, None]
        scores = split(query) @ split(key).transpose(-1, -2) + self.distance_bias[:, distances]
        mixed = (F.silu(scores) * share) @ split(value)
        mixed = self.mixed_norm(mixed.transpose(1, 2).reshape(batch, length, size))
        return x + self.out(self.dropout(mixed * gate))


class TransductionEncoder(nn.Module):
    """A stack of units with a final norm: (B, L, D), (B, L) -> (B, L, D). Padding on the right is never seen."""

    positional = False
    causal = True

    def __init__(self, *, embedding_size: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.input_scale = embedding_size**0.5
        self.units = nn.ModuleList(
            TransductionUnit(embedding_size=embedding_size, heads=heads, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(embedding_size)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        for unit in self.units:
            x = unit(x)
        return self.norm(x)


def hstu(*, embedding_size: int, layers: int, heads: int, dropout: float, causal: bool) -> TransductionEncoder:
    """The past only (``causal`` does not apply)."""
    return TransductionEncoder(embedding_size=embedding_size, layers=layers, heads=heads, dropout=dropout)
