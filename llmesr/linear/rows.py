"""Sparse item-to-item weights by the item of the history: what it gives to which candidates."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from llmesr.ids import PAD
from llmesr.linear.weights import Weights

AT_ONCE = 2**24
"""Summands that exist at once."""


class Rows:
    """Row h holds the candidates that item h of a history gives something to, and how much."""

    def __init__(self, starts: Tensor, candidates: Tensor, values: Tensor) -> None:
        """Row h is ``starts[h]`` to ``starts[h + 1]``, (N + 2,), of the other two."""
        self.starts, self.candidates, self.values = starts, candidates, values
        self.size = len(starts) - 1

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """From sparse weights, which are stored by candidate."""
        if weights.items is None:
            raise ValueError("dense weights have no sparse rows")
        candidate, place = (weights.items != PAD).nonzero(as_tuple=True)
        history = weights.items[candidate, place].long()
        order = torch.argsort(history, stable=True)
        counts = torch.bincount(history, minlength=len(weights.items))
        starts = F.pad(torch.cumsum(counts, 0), (1, 0))
        return cls(starts, candidate[order].int(), weights.weights[candidate, place][order])

    @classmethod
    def of_matrix(cls, matrix: sparse.csr_matrix, device: torch.device | str = "cpu") -> Self:
        """From a matrix (N + 1, N + 1) whose row h is already that of item h."""
        return cls(
            torch.from_numpy(matrix.indptr.astype(np.int64)).to(device),
            torch.from_numpy(matrix.indices.astype(np.int32)).to(device),
            torch.from_numpy(matrix.data.astype(np.float32)).to(device),
        )

    @property
    def nbytes(self) -> int:
        return self.starts.nbytes + self.candidates.nbytes + self.values.nbytes

    def few(self, sequences: Tensor, faded: Tensor, items: Tensor) -> Tensor:
        """The sums of few candidates: (B, L), their weights (B, L), and (B, C), or (C,) for all the same, -> (B, C)."""
        read, inverse = torch.unique(sequences, return_inverse=True)  # (R,), (B, L)
        wanted, column = torch.unique(items, return_inverse=True)  # (W,)
        table = self.between(read, wanted)
        counted = torch.zeros(len(sequences), len(read), device=faded.device).scatter_add_(1, inverse, faded)
        total = counted @ table  # (B, W)
        return total[:, column] if items.dim() == 1 else total.gather(1, column)

    def between(self, read: Tensor, wanted: Tensor) -> Tensor:
        """(R,) different items of histories and (W,) different candidates -> (R, W) what the ones give the others."""
        first = self.starts[read]
        many = torch.where(read == PAD, 0, self.starts[read + 1] - first)
        each, at = _entries(first, many)
        candidate = self.candidates.index_select(0, at).long()
        column_of = torch.full((self.size,), -1, device=wanted.device)
        column_of[wanted] = torch.arange(len(wanted), device=wanted.device)
        place = column_of.index_select(0, candidate)
        there = (place >= 0).nonzero()[:, 0]
        table = torch.zeros(len(read), len(wanted), device=read.device)
        cells = each.index_select(0, there) * len(wanted) + place.index_select(0, there)
        table.view(-1).index_copy_(0, cells, self.values.index_select(0, at.index_select(0, there)))
        return table

    def entries(self, sequences: Tensor, faded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The summands of all sums: rows of ``sequences`` (B, L), candidates and values, (P,) each, by the weights of
        the histories (B, L)."""
        real = sequences != PAD
        owner, item, fade = real.nonzero()[:, 0], sequences[real], faded[real]
        first = self.starts[item]
        each, at = _entries(first, self.starts[item + 1] - first)
        values = fade.index_select(0, each) * self.values.index_select(0, at)  # several times as fast as by brackets
        return owner.index_select(0, each), self.candidates.index_select(0, at).long(), values

    def sums(self, sequences: Tensor, faded: Tensor) -> Tensor:
        """(B, L) and their weights (B, L) -> (B, N + 1)."""
        real = sequences != PAD
        owner, item, fade = real.nonzero()[:, 0], sequences[real], faded[real]
        first = self.starts[item]
        many = self.starts[item + 1] - first
        total = torch.zeros(len(sequences) * self.size, device=sequences.device)
        bounds = torch.cumsum(many, 0)
        begin = 0
        while begin < len(item):
            done = int(bounds[begin - 1]) if begin else 0
            end = max(begin + 1, int(torch.searchsorted(bounds, done + AT_ONCE, right=True)))
            part = slice(begin, end)
            each, at = _entries(first[part], many[part])
            total.index_add_(0, owner[part][each] * self.size + self.candidates[at], fade[part][each] * self.values[at])
            begin = end
        return total.view(len(sequences), self.size)


def _entries(first: Tensor, many: Tensor) -> tuple[Tensor, Tensor]:
    """Of rows that begin at ``first`` and have ``many`` entries, (R,) each: every entry's row (0..R - 1) and place."""
    each = torch.repeat_interleave(torch.arange(len(first), device=first.device), many)
    begin = first - (torch.cumsum(many, 0) - many)
    return each, begin.index_select(0, each) + torch.arange(len(each), device=first.device)
