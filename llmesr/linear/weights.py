"""Item-to-item weights as tensors: between all items, or for each item those on its strongest others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of a sparse weight matrix, one row each: the items it has weights for, and the weights."""

    items: Tensor  # (b, M) int32, 0 where there are fewer
    weights: Tensor  # (b, M) float32, 0 there
    content: Tensor | None = None  # (b, M) the part of the weights that comes from text
    shifted: int = 0  # columns whose matrix had to be made positive definite

    def tensors(self) -> dict[str, Tensor]:
        """What is stored of them."""
        named = {"items": self.items, "weights": self.weights, "content": self.content}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """One after the other."""
        content = None
        if parts[0].content is not None:
            content = torch.cat([p.content for p in parts if p.content is not None])
        return cls(
            torch.cat([p.items for p in parts]),
            torch.cat([p.weights for p in parts]),
            content,
            sum(p.shifted for p in parts),
        )


@dataclass(frozen=True, eq=False)
class Weights:
    """B: a history scores candidate j with sum over h of decay^(steps back) * B[h, j]; B[j, j] = 0.

    Dense: ``weights`` (N + 1, N + 1), row h, column j. Sparse: ``items`` and ``weights`` (N + 1, M), row j holds
    the h of column j and B[h, j]. ``content``, of the same shape, is the part of a weight that comes from text.
    """

    weights: Tensor
    items: Tensor | None = None
    content: Tensor | None = None
    shift: float = 0.0
    """Dense: added to the diagonal to make it positive definite. Sparse: the share of columns where that was done."""

    @classmethod
    def dense(cls, weights: Tensor, content: Tensor | None = None, *, shift: float = 0.0) -> Self:
        return cls(weights, None, content, shift)

    @classmethod
    def sparse(cls, columns: Columns) -> Self:
        """From the columns of items 1..N."""

        def padded(rows: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(rows[:1]), rows])

        content = None if columns.content is None else padded(columns.content)
        share = columns.shifted / max(len(columns.items), 1)
        return cls(padded(columns.weights), padded(columns.items), content, share)

    @property
    def n_items(self) -> int:
        return len(self.weights) - 1

    def tensors(self) -> dict[str, Tensor]:
        """What is stored; :meth:`read` is the reverse."""
        named = {"weights": self.weights, "items": self.items, "content": self.content}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> Self:
        return cls(tensors["weights"], tensors.get("items"), tensors.get("content"))

    def to(self, device: torch.device | str) -> Self:
        moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return type(self)(moved["weights"], moved.get("items"), moved.get("content"), self.shift)

    def grown(self, n_items: int) -> Self:
        """For a catalogue of ``n_items``, the further ones without any weight."""
        more = n_items - self.n_items
        wide = (0, more, 0, more) if self.items is None else (0, 0, 0, more)
        made = {name: F.pad(tensor, wide) for name, tensor in self.tensors().items()}
        return type(self)(made["weights"], made.get("items"), made.get("content"), self.shift)

    def with_dense(self, items: Tensor, columns: Tensor, content: Tensor | None) -> Self:
        """Dense weights with other ``columns`` (N + 1, S), and their ``content``, for ``items`` (S,)."""
        weights = self.weights.clone()
        weights[:, items] = columns
        said = None if self.content is None or content is None else self.content.clone()
        if said is not None and content is not None:
            said[:, items] = content
        return type(self)(weights, None, said, self.shift)

    def with_sparse(self, items: Tensor, columns: Columns) -> Self:
        """Sparse weights with other ``columns`` (S, M) for ``items`` (S,)."""
        old, new = self.tensors(), columns.tensors()
        width = max(old["weights"].shape[1], new["weights"].shape[1])
        made = {name: F.pad(tensor, (0, width - tensor.shape[1])) for name, tensor in old.items()}
        for name, tensor in made.items():
            tensor[items] = F.pad(new[name], (0, width - new[name].shape[1]))
        return type(self)(made["weights"], made.get("items"), made.get("content"), self.shift)

    def whole(self) -> Tensor:
        """(N + 1, N + 1), whatever the form: N^2 memory."""
        if self.items is None:
            return self.weights
        full = torch.zeros(len(self.weights), len(self.weights), device=self.weights.device)
        full.scatter_add_(1, self.items.long(), self.weights)  # row j holds column j
        full[:, 0] = 0.0
        return full.T.contiguous()
