"""Transformer blocks and the sequence encoders made of them: SASRec and BERT4Rec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.encoders.dropout import Dropout

CACHED = 700_000
"""Attention weights that a processor's cache holds along with what is made of them."""


def visible(real: Tensor) -> Tensor:
    """Which keys may be attended: (B, L) real positions -> (B, 1, 1, L).

    An empty row keeps its first position, since a softmax over nothing is not a number.
    """
    first = torch.zeros_like(real)
    first[:, 0] = True
    return (real | first)[:, None, None, :]


class Beginnings(NamedTuple):
    """The different beginnings of many histories (B, L): a causal encoder makes the same of those that are alike."""

    place: Tensor  # (B, L) which of them ends at a position; padding is one for each l
    first: Tensor  # (M,) a position (b * L + l) where each of them ends

    @classmethod
    def of(cls, tokens: Tensor, real: Tensor) -> Self:
        """``tokens`` (B, L): a number for what is read at a position, and for where it stands. Beginnings are told
        apart by sums of 64 mixed bits: that two of ten thousand are taken for one has a chance of 3e-12."""
        mixed = tokens * 0x1E3779B97F4A7C15
        mixed = (mixed ^ (mixed >> 31)) * 0x3F58476D1CE4E5B9
        mixed = (mixed ^ (mixed >> 29)) * 0x14D049BB133111EB
        sums = torch.where(real, (mixed ^ (mixed >> 32)).cumsum(1), torch.arange(tokens.shape[1], device=tokens.device))
        different, place = torch.unique(sums, return_inverse=True)
        first = torch.empty_like(different).scatter_(
            0, place.view(-1), torch.arange(place.numel(), device=place.device)
        )
        return cls(place, first)

    def repeated(self, times: int) -> Beginnings:
        """The same of that many batches, one after the other."""
        place = torch.cat([self.place + n * len(self.first) for n in range(times)])
        return Beginnings(place, torch.cat([self.first + n * self.place.numel() for n in range(times)]))


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
        batch, length, size = query.shape

        def split(x: Tensor) -> Tensor:
            return x.view(batch, length, self.heads, -1).transpose(1, 2)  # (B, H, L, D / H)

        key, value = self.memory(memory).chunk(2, dim=-1)
        # Padding stands on the right, so the causal mask alone hides it from every real position.
        seen = None if causal else visible(real)
        mixed = self._attend(split(self.query(query)), split(key), split(value), seen, causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, size))
        return out

    def among(self, x: Tensor, alike: Beginnings) -> Tensor:
        """Causal attention of beginnings ``x`` (M, D) over themselves."""
        batch, length = alike.place.shape

        def split(x: Tensor) -> Tensor:
            return x.view(batch, length, self.heads, -1).transpose(1, 2)  # (B, H, L, D / H)

        query = split(F.embedding(alike.place, self.query(x)))
        key, value = (split(part) for part in F.embedding(alike.place, self.memory(x)).chunk(2, dim=-1))
        mixed = self._attend(query, key, value, None, causal=True).transpose(1, 2).reshape(batch * length, -1)
        out: Tensor = self.out(mixed.index_select(0, alike.first))
        return out

    def newest(self, query: Tensor, memory: Tensor, real: Tensor, alike: Beginnings | None = None) -> Tensor:
        """What a single query (B, D), which stands at the newest position, reads of a memory: (B, L, D), or (M, D) of
        beginnings."""
        batch, size = query.shape

        def split(x: Tensor) -> Tensor:
            return x.view(batch, -1, self.heads, size // self.heads).transpose(1, 2)  # (B, H, 1 or L, D / H)

        read = self.memory(memory)
        key, value = (read if alike is None else F.embedding(alike.place, read)).chunk(2, dim=-1)
        mixed = self._attend(split(self.query(query)), split(key), split(value), visible(real), causal=False)
        out: Tensor = self.out(mixed.reshape(batch, size))
        return out

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

    def among(self, x: Tensor, alike: Beginnings) -> Tensor:
        """The same of beginnings (M, D) -> (M, D), causal."""
        return self._further(x + self.dropout(self.attention.among(self.attention_norm(x), alike)))

    def newest(self, x: Tensor, real: Tensor, at: Tensor, alike: Beginnings | None = None) -> Tensor:
        """(B, L, D), or (M, D) of beginnings, -> (B, D) the state at the newest positions ``at`` (B,), the only one
        that is worked out."""
        normed = self.attention_norm(x)
        rows = torch.arange(len(at), device=x.device)
        newest = (rows, at) if alike is None else alike.place[rows, at]
        return self._further(x[newest] + self.dropout(self.attention.newest(normed[newest], normed, real, alike)))

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
        normed: Tensor = self.norm(x)
        return normed

    def newest(self, x: Tensor, real: Tensor, alike: Beginnings | None = None) -> Tensor:
        """(B, L, D), (B, L) -> (B, D) the state at the newest real position: the last block works out no other.

        With ``alike``, of a causal encoder, ``x`` is (M, D): each of the different beginnings is worked out once.
        """
        at = (real.sum(1) - 1).clamp(min=0)
        *before, last = cast(Sequence[Block], self.blocks)
        for block in before:
            x = block(x, real, causal=self.causal) if alike is None else block.among(x, alike)
        normed: Tensor = self.norm(last.newest(x, real, at, alike))
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
