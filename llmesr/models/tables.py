"""Item tables: what an item is made of before any sequence is read.

Every table has N + 2 rows: padding (0), items 1..N, mask (N + 1). ``weight()`` gives all of them at
once, ``forward`` only the rows asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.data.int8_rows import quantised, restored
from llmesr.ids import PAD
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


_ROWS = 65_536
"""Rows of a float16 or int8 table that are float32 at once."""


class Directions(NamedTuple):
    """The main directions of a text space: ``mean`` (E,), orthonormal ``components`` (M, E), the strongest first."""

    mean: Tensor
    components: Tensor


class AdaptedTable(nn.Module):
    """Text vectors through a linear adapter: a_i = W2 (W1 e_i + b1) + b2 (LLM-ESR eq. 3).

    Without an activation the two layers are one affine map, so they are multiplied first: the same
    function and the same gradients at a third of the cost.
    """

    text: Tensor
    scales: Tensor | None
    present: Tensor | None
    stretch: float
    """What the numbers of the text were multiplied by."""

    def __init__(
        self,
        text: Tensor,
        embedding_size: int,
        *,
        layers: int = 2,
        frozen: bool = True,
        sparse: bool = False,
        scaled: bool = False,
        int8: bool = False,
        start: Directions | None = None,
    ) -> None:
        """``text`` is (N + 1, E) with a zero padding row; frozen, it is kept as it comes, in float32 or float16, or
        with ``int8`` in 8 bits a number and a scale for each row.

        With ``sparse`` an item whose row is zero has no vector: it is zero here too, where the adapter would give it
        its bias. ``scaled`` stretches the numbers of the rows there are to mean square 1: a step of the optimiser then
        moves items of unit-length text sqrt(E) times as far. ``start`` as in :meth:`_start`.
        """
        super().__init__()
        self.stretch = stretch = _stretch(text) if scaled else 1.0
        kept = torch.float16 if frozen and text.dtype == torch.float16 else torch.float32  # what is learned needs room
        table = torch.zeros(len(text) + 1, text.shape[1], dtype=kept, device=text.device)  # (N + 2, E)
        table[:-1] = text if stretch == 1 else text * stretch
        known = None
        if sparse:
            known = table.any(dim=1)  # (N + 2,)
            known[-1] = True  # the mask
        table, scales = quantised(table) if frozen and int8 else (table, None)
        self.register_buffer("scales", scales, persistent=False)  # (N + 2,)
        if frozen:
            self.register_buffer("text", table, persistent=False)
        else:
            self.text = nn.Parameter(table)
        self.register_buffer("present", known, persistent=False)
        size = text.shape[1]
        sizes = [size, embedding_size] if layers == 1 else [size, max(size // 2, 1), embedding_size]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.mask_vector = nn.Parameter(torch.randn(embedding_size) * 0.02)
        if start is not None:
            self._start(Directions(start.mean * stretch, start.components))

    @torch.no_grad()
    def place(self, items: Tensor, text: Tensor) -> None:
        """Let ``items`` (S,) read ``text`` (S, E), unscaled; items beyond the last are added in front of the mask.
        ValueError where the text is trained: what training made of it is not known for another one."""
        if isinstance(self.text, nn.Parameter):
            raise ValueError("a table that trains its text cannot read another one")
        rows = text * self.stretch
        if self.scales is not None:
            rows, scales = quantised(rows)
            self.scales = placed(self.scales, items, scales)
        self.text = placed(self.text, items, rows)
        if self.present is not None:
            self.present = placed(self.present, items, text.any(dim=1))

    @torch.no_grad()
    def _start(self, start: Directions) -> None:
        """Begin as the projection on the D main directions, scaled to rows of mean square length 1.

        A random adapter gives all items nearly the same vector at first (unit rows leave little beside the biases), and
        training spends its first epochs on telling them apart.
        """
        first, *rest = cast(list[nn.Linear], list(self.layers))
        kept = min(len(start.components), first.out_features)
        known = self._read(self.text.any(dim=1)) - start.mean
        projected = known @ start.components[: rest[0].out_features if rest else kept].T
        scale = projected.square().sum(1).mean().sqrt().nan_to_num().clamp(min=1e-12)  # no number without any text
        first.weight.zero_()
        first.weight[:kept] = start.components[:kept] / scale
        first.bias.copy_(-first.weight @ start.mean)
        for layer in rest:
            nn.init.eye_(layer.weight)
            layer.bias.zero_()

    def _affine(self) -> tuple[Tensor, Tensor]:
        first, *rest = cast(list[nn.Linear], list(self.layers))
        weight: Tensor = first.weight
        bias: Tensor = first.bias
        for layer in rest:
            weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
        return weight, bias  # (D, E), (D,)

    def _finish(self, adapted: Tensor, items: Tensor) -> Tensor:
        last = self.text.shape[0] - 1
        adapted = torch.where((items == last)[..., None], self.mask_vector.to(adapted.dtype), adapted)
        keep = items != PAD if self.present is None else self.present[items]
        return adapted * keep[..., None]

    def weight(self) -> Tensor:
        weight, bias = self._affine()
        if self.text.dtype == weight.dtype:
            adapted = F.linear(self.text, weight, bias)
        else:
            some = torch.arange(len(self.text), device=weight.device).split(_ROWS)
            adapted = torch.cat([F.linear(self._read(rows).to(weight.dtype), weight, bias) for rows in some])
        whole = torch.cat([torch.zeros_like(adapted[:1]), adapted[1:-1], self.mask_vector.to(adapted.dtype)[None]])
        return whole if self.present is None else whole * self.present[:, None]

    def forward(self, items: Tensor) -> Tensor:
        weight, bias = self._affine()
        return self._finish(F.linear(self._read(items).to(weight.dtype), weight, bias), items)

    def _read(self, items: Tensor) -> Tensor:
        """(...) items -> (..., E) their text, out of int8 where it is kept so."""
        rows = self.text[items] if items.dtype == torch.bool else F.embedding(items, self.text)
        return rows.float() if self.scales is None else restored(rows, self.scales[items])


def _stretch(text: Tensor) -> float:
    """What gives the numbers of the rows that are not zero mean square 1."""
    known = text[text.any(dim=1)].float()
    return float(1 / known.square().mean().sqrt().clamp(min=1e-12)) if len(known) else 1.0


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
