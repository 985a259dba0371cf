"""Item tables: what an item is made of before any sequence is read.

Every table has N + 2 rows: padding (0), items 1..N, mask (N + 1). ``weight()`` gives all of them at
once, ``forward`` only the rows asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.ids import PAD
from llmesr.models.adapted_table import AdaptedTable
from llmesr.models.read_table import ReadTable
from llmesr.models.rows import placed
from llmesr.models.sharded_table import ShardedTable


class IdTable(nn.Module):
    """A trainable vector per item, (N + 2, D), started at random or from given vectors."""

    def __init__(
        self,
        n_items: int,
        embedding_size: int,
        *,
        start: Tensor | None = None,
        spread: Callable[[Tensor], Tensor] | None = None,
        scale: float = 0.02,
        sparse: bool = False,
    ) -> None:
        """``start`` (N, D); ``spread`` changes the start, whichever it is, as :mod:`llmesr.models.graph` does. With
        ``sparse`` the gradients of :meth:`forward` hold only the rows that were asked for."""
        super().__init__()
        self.sparse = sparse
        values = torch.randn(n_items + 2, embedding_size).mul_(scale)
        if start is not None:
            if start.shape != (n_items, embedding_size):
                raise ValueError(f"start has shape {tuple(start.shape)}, not {(n_items, embedding_size)}")
            values[1 : n_items + 1] = start
        if spread is not None:
            values[1 : n_items + 1] = spread(values[1 : n_items + 1])
        values[PAD] = 0
        self.vectors = nn.Parameter(values)

    def weight(self) -> Tensor:
        return self.vectors

    @torch.no_grad()
    def place(self, items: Tensor, rows: Tensor) -> None:
        """Give ``items`` (S,) the vectors ``rows`` (S, D); items beyond the last are added in front of the mask."""
        self.vectors = nn.Parameter(placed(self.vectors, items, rows))

    def forward(self, items: Tensor) -> Tensor:
        # The padding row gets no gradient and stays zero.
        return F.embedding(items, self.vectors, padding_idx=PAD, sparse=self.sparse)


class CodesTable(nn.Module):
    """Vectors made of codes that items share: v_i = sum over the codebooks of gate(c_i) * c_i, where c_i are the code
    vectors of the item side by side and gate(c) = W_up sigmoid(W_down c), a bottleneck (Mixture-of-Codes).

    The number of parameters depends on the codebooks alone. Code 0 is that of items without text.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, size: int, embedding_size: int, *, start: Tensor | None = None) -> None:
        """``codes`` (N + 1, C) from 0 to ``size``, row 0 for padding. ``start`` (N, D) as in :meth:`_start`."""
        super().__init__()
        codebooks = codes.shape[1]
        self.register_buffer("codes", torch.cat([codes, torch.zeros_like(codes[:1])]))  # (N + 2, C)
        self.vectors = nn.Parameter(torch.randn(codebooks, size + 1, embedding_size) * 0.02)
        width = codebooks * embedding_size
        self.down = nn.Linear(width, max(width // 4, 1))
        self.up = nn.Linear(max(width // 4, 1), width)
        nn.init.ones_(self.up.bias)  # begin near the plain sum
        self.mask_vector = nn.Parameter(torch.randn(embedding_size) * 0.02)
        if start is not None:
            self._start(start)

    @torch.no_grad()
    def _start(self, start: Tensor) -> None:
        """Begin so that the codes of an item add up to nearly its row of ``start``: each codebook takes the means of
        what those before have left over."""
        left, rows = start.clone(), self.codes[1:-1].long()
        for vectors, code in zip(self.vectors, rows.T, strict=True):
            times = torch.bincount(code, minlength=len(vectors)).clamp(min=1)
            vectors.copy_(torch.zeros_like(vectors).index_add_(0, code, left) / times[:, None])
            left -= vectors[code]

    @torch.no_grad()
    def place(self, items: Tensor, codes: Tensor) -> None:
        """Give ``items`` (S,) the ``codes`` (S, C); items beyond the last are added in front of the mask."""
        self.codes = placed(self.codes, items, codes)

    def _compose(self, items: Tensor) -> Tensor:
        codebooks, size, _ = self.vectors.shape
        codes = self.codes[items].long() + size * torch.arange(codebooks, device=items.device)  # (..., C)
        rows = F.embedding(codes, self.vectors.flatten(0, 1))  # (..., C, D)
        gates = self.up(self.down(rows.flatten(-2)).sigmoid()).unflatten(-1, rows.shape[-2:])
        composed: Tensor = (gates * rows).sum(-2)
        return composed

    def weight(self) -> Tensor:
        every = torch.arange(1, len(self.codes) - 1, device=self.codes.device)
        composed = self._compose(every)
        mask = self.mask_vector.to(composed.dtype)[None]
        return torch.cat([torch.zeros_like(mask), composed, mask])

    def forward(self, items: Tensor) -> Tensor:
        composed = self._compose(items)
        last = len(self.codes) - 1
        composed = torch.where((items == last)[..., None], self.mask_vector.to(composed.dtype), composed)
        return composed * (items != PAD)[..., None]


ItemTable = IdTable | AdaptedTable | CodesTable | ReadTable | ShardedTable
"""To add a kind of table, give it ``weight()`` and ``forward`` and name it here."""
