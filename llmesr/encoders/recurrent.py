"""GRU4Rec (Hidasi et al. 2016): a recurrent sequence encoder."""

from __future__ import annotations

from torch import Tensor, nn


class RecurrentEncoder(nn.Module):
    """Stacked GRU: (B, L, D), (B, L) -> (B, L, D). Padding on the right never reaches a real state."""

    positional = False
    causal = True

    def __init__(self, *, embedding_size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(
            embedding_size, embedding_size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.norm = nn.LayerNorm(embedding_size)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        states, _ = self.gru(x)
        normed: Tensor = self.norm(states)
        return normed


def gru4rec(*, embedding_size: int, layers: int, heads: int, dropout: float, causal: bool) -> RecurrentEncoder:
    """A recurrence reads the past only; ``heads`` and ``causal`` do not apply."""
    return RecurrentEncoder(embedding_size=embedding_size, layers=layers, dropout=dropout)
