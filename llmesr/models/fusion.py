"""How the semantic and the collaborative sequence meet before the encoder (LLM-ESR section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from llmesr.encoders.attention import Attention

HEADS = 2


class CrossView(nn.Module):
    """Each view is read by the other's queries: (B, L, D) x 2 -> (B, L, D) x 2.

    Keys and values come from the view itself, so that it stays in the space of its item table;
    taking the values from the other view costs a tenth of the accuracy.

    As published, the result REPLACES the view (``residual=False``); with ``residual=True`` it is
    added to it. The causal mask follows the encoder's.
    """

    def __init__(self, *, embedding_size: int, dropout: float, causal: bool, residual: bool) -> None:
        super().__init__()
        self.causal = causal
        self.residual = residual
        self.collaborative = Attention(embedding_size=embedding_size, heads=HEADS, dropout=dropout)
        self.semantic = Attention(embedding_size=embedding_size, heads=HEADS, dropout=dropout)

    def forward(self, collaborative: Tensor, semantic: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        co = self.collaborative(semantic, collaborative, real, causal=self.causal)
        se = self.semantic(collaborative, semantic, real, causal=self.causal)
        return (collaborative + co, semantic + se) if self.residual else (co, se)
