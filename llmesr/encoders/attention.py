"""Transformer blocks and the sequence encoders made of them: SASRec and BERT4Rec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.encoders.dropout import Dropout
from llmesr.encoders.leave_one_out import LeaveOneOut, around

CACHED = 700_000
"""Attention weights that a processor's cache holds along with what is made of them."""


def visible(real: Tensor) -> Tensor:
    """Which keys may be attended: (B, L) real positions -> (B, 1, 1, L).

    An empty row keeps its first position, since a softmax over nothing is not a number.
    """
    first = torch.zeros_like(real)
    first[:, 0] = True
    return (real | first)[:, None, None, :]


class Attention(nn.Module):
    """Multi-head attention of a query sequence over a memory sequence, both (B, L, D)."""

    def __init__(self, *, embedding_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(embedding_size, embedding_size)
        self.memory = nn.Linear(embedding_size, 2 * embedding_size)
        self.out = nn.Linear(embedding_size, embedding_size)

    def forward(self, query: Tensor, memory: Tensor, real: Tensor, *, causal: bool) -> Tensor:
        key, value = self.memory(memory).chunk(2, dim=-1)
        # Padding stands on the right, so the causal mask alone hides it from every real position.
        seen = None if causal else visible(real)
        mixed = self._attend(self._split(self.query(query)), self._split(key), self._split(value), seen, causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(query.shape))
        return out

    def leave_one_out(self, tokens: Tensor, rows: LeaveOneOut) -> Tensor:
        """Causal attention of ``tokens`` (2 * H, L, D), before and after a gap, over those they may attend: of every
        state of ``rows``, (S, D). There are more states than tokens, so it is the values that go through ``out``."""
        batch, length, size = tokens.shape
        query, key, value = map(self._split, (self.query(tokens), *self.memory(tokens).chunk(2, dim=-1)))
        value = value @ self.out.weight.T.view(self.heads, -1, size)  # (2 * H, heads, L, D)
        mixed = self._attend(query, key, value, None, causal=True).sum(1).view(-1, size)
        newer, hidden = around(length, tokens.device)
        asked = query[batch // 2 :] * (size // self.heads) ** -0.5
        logits = asked @ torch.cat(key.chunk(2), 2).transpose(2, 3)  # (H, heads, L, 2 * L)
        weights = (logits.index_select(2, newer) + hidden).softmax(-1)
        read = (weights @ torch.cat(value.chunk(2), 2)).sum(1).view(-1, size).index_select(0, rows.pair)
        return torch.cat([mixed, read]) + self.out.bias

    def among(self, x: Tensor, at: Tensor, first: Tensor) -> Tensor:
        """Causal attention of histories over themselves: ``at`` (B, L) says which row of ``x`` (., D) is read at a
        position. Of the positions ``first`` (M,) alone: (M, D)."""
        query = self._split(F.embedding(at, self.query(x)))
        key, value = (self._split(part) for part in F.embedding(at, self.memory(x)).chunk(2, dim=-1))
        mixed = self._attend(query, key, value, None, causal=True).transpose(1, 2).reshape(at.numel(), -1)
        out: Tensor = self.out(mixed.index_select(0, first))
        return out

    def newest(self, query: Tensor, memory: Tensor, real: Tensor) -> Tensor:
        """What a single query (B, D), which stands at the newest position, reads of a memory (B, L, D).

        Keys and values are never made, as there is but one query: it is taken to where the memory is, and what it
        reads there is made a value. A bias of the keys adds the same to all weights, and softmax does not see it.
        """
        batch, size = query.shape
        to_key, to_value = self.memory.weight.view(2, self.heads, -1, size)  # (H, D / H, D) each
        asked = torch.einsum("bhd,hde->bhe", self.query(query).view(batch, self.heads, -1), to_key)
        read = F.scaled_dot_product_attention(
            asked[:, None],  # (B, 1, H, D)
            memory[:, None],
            memory[:, None],
            attn_mask=visible(real),
            dropout_p=self.dropout.p if self.training else 0.0,
            scale=(size // self.heads) ** -0.5,
        )[:, 0]
        mixed = torch.einsum("bhe,hde->bhd", read, to_value).reshape(batch, size) + self.memory.bias[size:]
        out: Tensor = self.out(mixed)
        return out

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, H, L, D / H)"""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, causal: bool) -> Tensor:
        """(B, H, L, D / H) each -> the same; ``seen`` says which keys may be attended."""
        dropped = self.dropout.p if self.training else 0.0
        if dropped == 0 or query.device.type != "cpu":
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=seen, dropout_p=dropped, is_causal=causal
            )
        # With dropout a processor has no fused attention, and the weights exist in any case: few enough rows of them
        # at a time to stay in its cache, which halves the time at length 200.
        length = query.shape[-2]
        if seen is None:
            seen = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
        hidden = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf).expand(len(query), -1, -1, -1)
        rows = max(1, CACHED // (self.heads * length * length))
        parts = zip(query.split(rows), key.split(rows), value.split(rows), hidden.split(rows), strict=True)
        return torch.cat([self._weighted(*part) for part in parts])

    def _weighted(self, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
        """``hidden``: 0 where a key may be attended, else minus infinity."""
        weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + hidden
        kept: Tensor = self.dropout(weights.softmax(-1))
        return kept @ value


class Block(nn.Module):
    """Pre-norm transformer block: attention and a position-wise network, each with a residual."""

    def __init__(
        self, *, embedding_size: int, heads: int, dropout: float, expansion: int, activation: type[nn.Module]
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(embedding_size)
        self.attention = Attention(embedding_size=embedding_size, heads=heads, dropout=dropout)
        self.forward_norm = nn.LayerNorm(embedding_size)
        self.feed_forward = nn.Sequential(
            nn.Linear(embedding_size, expansion * embedding_size),
            activation(),
            Dropout(dropout),
            nn.Linear(expansion * embedding_size, embedding_size),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor, *, causal: bool) -> Tensor:
        normed = self.attention_norm(x)
        return self._further(x + self.dropout(self.attention(normed, normed, real, causal=causal)))

    def leave_one_out(self, tokens: Tensor, rows: LeaveOneOut) -> Tensor:
        """The same of ``tokens`` (2 * H, L, D) before and after a gap, causal: every state of ``rows``, (S, D)."""
        flat = tokens.view(-1, tokens.shape[-1])
        before = torch.cat([flat, flat.index_select(0, rows.newer)])
        return self._further(before + self.dropout(self.attention.leave_one_out(self.attention_norm(tokens), rows)))

    def among(self, x: Tensor, at: Tensor, first: Tensor) -> Tensor:
        """The same of histories that read row ``at`` (B, L) of ``x`` (., D), causal: at positions ``first`` (M,) alone,
        (M, D)."""
        before = x.index_select(0, at.view(-1).index_select(0, first))
        return self._further(before + self.dropout(self.attention.among(self.attention_norm(x), at, first)))

    def newest(self, x: Tensor, real: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, L, D), or (., D) of which row ``at`` (B, L) is read, -> (B, D) the state at the newest positions, the
        only one that is worked out."""
        normed, rows = self.attention_norm(x), torch.arange(len(real), device=x.device)
        newest = (real.sum(1) - 1).clamp(min=0)
        own = (rows, newest) if at is None else at[rows, newest]
        memory = normed if at is None else F.embedding(at, normed)
        return self._further(x[own] + self.dropout(self.attention.newest(normed[own], memory, real)))

    def _further(self, x: Tensor) -> Tensor:
        """What the position-wise network makes of what attention gave."""
        forward: Tensor = self.dropout(self.feed_forward(self.forward_norm(x)))
        return x + forward


class AttentionEncoder(nn.Module):
    """A stack of blocks with a final norm: (B, L, D), (B, L) -> (B, L, D)."""

    positional = True

    def __init__(
        self,
        *,
        embedding_size: int,
        layers: int,
        heads: int,
        dropout: float,
        causal: bool,
        expansion: int,
        activation: type[nn.Module],
        input_scale: float = 1.0,
    ) -> None:
        """``input_scale`` multiplies item vectors before positions are added."""
        super().__init__()
        self.causal = causal
        self.input_scale = input_scale
        self.blocks = nn.ModuleList(
            Block(
                embedding_size=embedding_size,
                heads=heads,
                dropout=dropout,
                expansion=expansion,
                activation=activation,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(embedding_size)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, real, causal=self.causal)
        return self._normed(x)

    def newest(self, x: Tensor, real: Tensor) -> Tensor:
        """(B, L, D), (B, L) -> (B, D) the state at the newest real position: the last block works out no other."""
        *before, last = cast(Sequence[Block], self.blocks)
        for block in before:
            x = block(x, real, causal=self.causal)
        return self._normed(last.newest(x, real))

    def leave_one_out(self, tokens: Tensor, rows: LeaveOneOut) -> Tensor:
        """The same of ``rows``, of a causal encoder, by ``tokens`` (2 * H, L, D) before and after a gap: (R, D)."""
        *before, last = cast(Sequence[Block], self.blocks)
        if not before:
            return self._normed(last.newest(tokens.view(-1, tokens.shape[-1]), rows.real, rows.token))
        x = before[0].leave_one_out(tokens, rows)
        for block in before[1:]:
            x = block.among(x, rows.state, rows.states)
        return self._normed(last.newest(x, rows.real, rows.state))

    def _normed(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


def sasrec(*, embedding_size: int, layers: int, heads: int, dropout: float, causal: bool) -> AttentionEncoder:
    """SASRec (Kang and McAuley 2018): the past only, a network as narrow as the embedding.

    Item vectors come in sqrt(D) times as long, as published: at length 1 they would drown in what the blocks add.
    """
    return AttentionEncoder(
        embedding_size=embedding_size,
        layers=layers,
        heads=heads,
        dropout=dropout,
        causal=causal,
        expansion=1,
        activation=nn.ReLU,
        input_scale=embedding_size**0.5,
    )


def bert4rec(*, embedding_size: int, layers: int, heads: int, dropout: float, causal: bool) -> AttentionEncoder:
    """BERT4Rec (Sun et al. 2019): both directions (``causal`` does not apply), fourfold network."""
    return AttentionEncoder(
        embedding_size=embedding_size,
        layers=layers,
        heads=heads,
        dropout=dropout,
        causal=False,
        expansion=4,
        activation=nn.GELU,
    )
