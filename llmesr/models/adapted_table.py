"""The item table that reads text through a linear adapter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmesr.data.int8_rows import quantised, restored
from llmesr.data.row_file import RowFile, blocks
from llmesr.ids import PAD
from llmesr.models.rows import placed
from llmesr.models.text_file import TextFile

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
    """(N + 2, E); without rows where they stay in a file."""
    scales: Tensor | None
    present: Tensor | None
    stretch: float
    """What the numbers of the text were multiplied by."""

    def __init__(
        self,
        text: Tensor | RowFile,
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
        with ``int8`` in 8 bits a number and a scale for each row. As (N, E) rows of a file it stays there.

        With ``sparse`` an item whose row is zero has no vector: it is zero here too, where the adapter would give it
        its bias. ``scaled`` stretches the numbers of the rows there are to mean square 1: a step of the optimiser then
        moves items of unit-length text sqrt(E) times as far. ``start`` as in :meth:`_start`.
        """
        super().__init__()
        self.stretch = _stretch(text) if scaled else 1.0
        self.file: TextFile | None = None
        size = text.shape[1]
        if isinstance(text, Tensor):
            self._hold(text, frozen=frozen, sparse=sparse, int8=int8)
        elif sparse or not frozen:
            raise ValueError("text that stays in its file is frozen, and every item has some")
        else:
            self.file = TextFile(text, stretch=self.stretch, int8=int8)
            self._keep(torch.zeros(0, size), None, None)
        sizes = [size, embedding_size] if layers == 1 else [size, max(size // 2, 1), embedding_size]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.mask_vector = nn.Parameter(torch.randn(embedding_size) * 0.02)
        if start is not None:
            self._start(Directions(start.mean * self.stretch, start.components))

    def _hold(self, text: Tensor, *, frozen: bool, sparse: bool, int8: bool) -> None:
        """Keep ``text`` (N + 1, E), stretched."""
        kept = torch.float16 if frozen and text.dtype == torch.float16 else torch.float32  # what is learned needs room
        table = torch.zeros(len(text) + 1, text.shape[1], dtype=kept, device=text.device)  # (N + 2, E)
        table[:-1] = text if self.stretch == 1 else text * self.stretch
        known = None
        if sparse:
            known = table.any(dim=1)  # (N + 2,)
            known[-1] = True  # the mask
        table, scales = quantised(table) if frozen and int8 else (table, None)
        self._keep(table if frozen else nn.Parameter(table), scales, known)

    def _keep(self, text: Tensor, scales: Tensor | None, present: Tensor | None) -> None:
        if isinstance(text, nn.Parameter):
            self.text = text
        else:
            self.register_buffer("text", text, persistent=False)
        self.register_buffer("scales", scales, persistent=False)  # (N + 2,)
        self.register_buffer("present", present, persistent=False)

    @torch.no_grad()
    def place(self, items: Tensor, text: Tensor) -> None:
        """Let ``items`` (S,) read ``text`` (S, E), unscaled; items beyond the last are added in front of the mask. A
        table whose text is in a file holds it from then on. ValueError where the text is trained: what training made of
        it is not known for another one."""
        if isinstance(self.text, nn.Parameter):
            raise ValueError("a table that trains its text cannot read another one")
        if self.file is not None:
            whole = F.pad(torch.from_numpy(self.file.rows.whole()), (0, 0, 1, 0))
            self._hold(whole.to(self.mask_vector.device), frozen=True, sparse=False, int8=self.file.int8)
            self.file = None
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
        shown = start.components[: rest[0].out_features if rest else kept].T
        items = torch.arange(1, self._mask, device=start.mean.device).split(_ROWS)
        lengths = (((known - start.mean) @ shown).square().sum(1) for known in _with_text(map(self._read, items)))
        scale = _mean(lengths).sqrt().nan_to_num().clamp(min=1e-12)  # no number without any text
        first.weight.zero_()
        first.weight[:kept] = start.components[:kept] / scale
        first.bias.copy_(-first.weight @ start.mean)
        for layer in rest:
            nn.init.eye_(layer.weight)
            layer.bias.zero_()

    @property
    def _mask(self) -> int:
        return len(self.text) - 1 if self.file is None else self.file.mask

    def _affine(self) -> tuple[Tensor, Tensor]:
        first, *rest = cast(list[nn.Linear], list(self.layers))
        weight: Tensor = first.weight
        bias: Tensor = first.bias
        for layer in rest:
            weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
        return weight, bias  # (D, E), (D,)

    def _finish(self, adapted: Tensor, items: Tensor) -> Tensor:
        adapted = torch.where((items == self._mask)[..., None], self.mask_vector.to(adapted.dtype), adapted)
        keep = items != PAD if self.present is None else self.present[items]
        return adapted * keep[..., None]

    def weight(self) -> Tensor:
        weight, bias = self._affine()
        if self.file is None and self.text.dtype == weight.dtype:
            adapted = F.linear(self.text, weight, bias)
        else:
            some = torch.arange(self._mask + 1, device=weight.device).split(_ROWS)
            adapted = torch.cat([F.linear(self._read(rows).to(weight.dtype), weight, bias) for rows in some])
        whole = torch.cat([torch.zeros_like(adapted[:1]), adapted[1:-1], self.mask_vector.to(adapted.dtype)[None]])
        return whole if self.present is None else whole * self.present[:, None]

    def forward(self, items: Tensor) -> Tensor:
        weight, bias = self._affine()
        return self._finish(F.linear(self._read(items).to(weight.dtype), weight, bias), items)

    def _read(self, items: Tensor) -> Tensor:
        """(...) items -> (..., E) their text, out of int8 where it is kept so."""
        if self.file is not None:
            return self.file.read(items)
        rows = F.embedding(items, self.text)
        return rows.float() if self.scales is None else restored(rows, self.scales[items])


def _stretch(text: Tensor | RowFile) -> float:
    """What gives the numbers of the rows that are not zero mean square 1."""
    rows = map(torch.from_numpy, blocks(text)) if isinstance(text, RowFile) else text[1:].split(_ROWS)
    size = _mean(known.float().square() for known in _with_text(rows)).sqrt()
    return float(1 / size.clamp(min=1e-12)) if size.isfinite() else 1.0


def _with_text(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Of rows (n, E) that come in parts those that are not zero."""
    return (rows[rows.any(dim=1)] for rows in parts)


def _mean(parts: Iterable[Tensor]) -> Tensor:
    """The mean of numbers that come in parts, a scalar; not a number where there are none."""
    total, many = 0.0, 0
    for part in parts:
        if len(part):
            total, many = total + float(part.mean()) * len(part), many + len(part)
    return torch.tensor(total / many if many else torch.nan)
