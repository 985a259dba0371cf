"""minGRU (Feng et al. 2024, Were RNNs All We Needed?): a gated recurrence without a step-by-step loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from llmesr.encoders.dropout import Dropout


class Recurrence(torch.autograd.Function):
    """h_t = keep_t * h_(t-1) + new_t along dimension 1, from h = 0; both (B, L, D).

    Its gradient is the same recurrence from the end, so nothing but keep and h is stored.
    """

    @staticmethod
    def forward(ctx: Any, keep: Tensor, new: Tensor) -> Tensor:
        states = scan(keep, new)
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        keep, states = ctx.saved_tensors
        # What reaches h_t comes through its own output and through h_(t+1), which kept keep_(t+1) of it.
        later = torch.cat([keep[:, 1:], torch.zeros_like(keep[:, :1])], dim=1)
        of_new = scan(later.flip(1), gradient.flip(1)).flip(1)
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
        return of_new * before, of_new


def scan(keep: Tensor, new: Tensor) -> Tensor:
    """The states of the recurrence in log2(L) passes, each joining spans twice as long.

    Only products of ``keep``, which is within (0, 1), occur: far ones fade to 0 and nothing overflows or divides.
    """
    keep, states = keep.clone(), new.clone()
    reach = 1
    while reach < keep.shape[1]:
        states[:, reach:] += keep[:, reach:] * states[:, :-reach]
        keep[:, reach:] *= keep[:, :-reach].clone()
        reach *= 2
    return states


class Block(nn.Module):
    """Pre-norm block: the recurrence and a position-wise network, each with a residual."""

    def __init__(self, *, embedding_size: int, dropout: float, expansion: int = 1) -> None:
        super().__init__()
        self.recurrence_norm = nn.LayerNorm(embedding_size)
        self.gates = nn.Linear(embedding_size, 2 * embedding_size)
        self.out = nn.Linear(embedding_size, embedding_size)
        self.forward_norm = nn.LayerNorm(embedding_size)
        self.feed_forward = nn.Sequential(
            nn.Linear(embedding_size, expansion * embedding_size),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(expansion * embedding_size, embedding_size),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        update, candidate = self.gates(self.recurrence_norm(x)).chunk(2, dim=-1)
        states = Recurrence.apply((-update).sigmoid(), update.sigmoid() * candidate)
        x = x + self.dropout(self.out(states))
        return x + self.dropout(self.feed_forward(self.forward_norm(x)))


class GatedEncoder(nn.Module):
    """A stack of blocks with a final norm: (B, L, D), (B, L) -> (B, L, D). Padding on the right is never seen."""

    positional = False
    causal = True

    def __init__(self, *, embedding_size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.input_scale = embedding_size**0.5
        self.blocks = nn.ModuleList(Block(embedding_size=embedding_size, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(embedding_size)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def mingru(*, embedding_size: int, layers: int, heads: int, dropout: float, causal: bool) -> GatedEncoder:
    """A recurrence reads the past only; ``heads`` and ``causal`` do not apply."""
    return GatedEncoder(embedding_size=embedding_size, layers=layers, dropout=dropout)
