"""What is known of every pair of items: how often they were chosen together, and how alike their vectors are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.ids import PAD
from llmesr.linear.kernel import Kernel

AT_ONCE = 2**24
"""Numbers in the rows that are worked out at once (64 MB)."""
COUNTED = 512
"""Partners of an item, those it was chosen with most, that are looked at where not all items are."""
STRIP = 256
"""Columns of a matrix that the counts are multiplied with together."""
DENSE_BYTES = 2**30
"""The evidence between all items is held as one matrix while it is not larger than this; above it is worked out."""


class Evidence:
    """G + sum of kernels over N items, in rows and in blocks. Row and column 0 (padding) are zero."""

    def __init__(
        self,
        counts: sparse.csr_matrix,
        kernels: Sequence[Kernel] = (),
        device: torch.device | str = "cpu",
        near: np.ndarray | None = None,
    ) -> None:
        """``counts`` (N + 1, N + 1) symmetric, with sorted indices; ``kernels`` on ``device``.

        ``near`` (N + 1, K), 0 where there are fewer: the items whose vectors are nearest. With it :meth:`strongest`
        looks at these and at the most frequent partners only, and costs the same in a catalogue of any size.
        """
        self.counts = counts
        self.near = near
        self.kernels = tuple(kernels)
        self.device = torch.device(device)
        self.size = counts.shape[0]
        self._diagonal = torch.from_numpy(counts.diagonal().astype(np.float32)).to(self.device)
        self._flat: Tensor | None = None  # ((N + 1)^2,) all of it
        self._places: np.ndarray | None = None  # (pairs,) row * (N + 1) + column of each count, rising

    def behaviour(self, items: Tensor) -> Tensor:
        """(b,) items -> (b, N + 1) how often each was chosen with every other."""
        found = self.counts[items.cpu().numpy()].toarray()
        return torch.from_numpy(found.astype(np.float32, copy=False)).to(self.device)

    def content(self, items: Tensor) -> Tensor | None:
        """(b,) items -> (b, N + 1) sum of the kernels; None where there are none."""
        return _total([kernel.rows(items) for kernel in self.kernels])

    def times_counts(self, matrix: Tensor) -> Tensor:
        """(N + 1, M) float64 -> the counts times it, which is quick as they are sparse: some columns at a time, which
        stay in the processor's cache (all 12,000 of Amazon Beauty at once take fifteen times as long)."""
        counts = self.counts.tocoo()
        places = torch.from_numpy(np.stack(counts.coords).astype(np.int64)).to(matrix.device)
        values = torch.from_numpy(counts.data.astype(np.float64)).to(matrix.device)
        held = torch.sparse_coo_tensor(places, values, counts.shape, check_invariants=False, is_coalesced=True)
        found = torch.empty_like(matrix)
        for product, columns in zip(found.split(STRIP, dim=1), matrix.split(STRIP, dim=1), strict=True):
            product.copy_(held @ columns.contiguous())
        return found

    @property
    def looked_at(self) -> int:
        """How many others :meth:`strongest` looks at for an item."""
        return self.size if self.near is None else COUNTED + int(self.near.shape[1])

    def strongest(self, items: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """(b,) items -> the ``most`` others with the greatest evidence together with each, 0 where there are fewer, how
        often they were chosen together, and the sum of the kernels (None without any); (b, M) each."""
        own = torch.arange(len(items), device=items.device)
        if self.near is None:
            behaviour, content = self.behaviour(items), self.content(items)
            candidates = None
        else:
            candidates = self._candidates(items, self.near)
            behaviour = torch.from_numpy(self._looked_up(items.cpu().numpy()[:, None], candidates.cpu().numpy()))
            behaviour = behaviour.float().to(items.device)
            content = _total([kernel.between(items, candidates) for kernel in self.kernels])
        strength = behaviour if content is None else behaviour + content
        if candidates is None:
            strength[:, PAD] = strength[own, items] = -1.0  # neither is a candidate
        else:
            strength.masked_fill_(candidates == PAD, -1.0)
        value, place = strength.topk(min(most, strength.shape[1]), dim=1)  # (b, M)
        chosen = place if candidates is None else candidates.gather(1, place)
        if most < self.size - 2:
            chosen = torch.where(value > 0, chosen, PAD)
        real = chosen != PAD
        known = behaviour.gather(1, place) * real
        return chosen, known, None if content is None else content.gather(1, place) * real

    def _candidates(self, items: Tensor, near: np.ndarray) -> Tensor:
        """(b,) items -> (b, C) different others, 0 in the places that are left over."""
        at = items.cpu().numpy()
        found = np.zeros((len(at), self.looked_at), np.int64)
        for row, item in zip(found, at, strict=True):
            own = slice(self.counts.indptr[item], self.counts.indptr[item + 1])
            others = self.counts.indices[own] != item  # the most frequent partner of an item is itself
            partners, often = self.counts.indices[own][others], self.counts.data[own][others]
            if len(partners) > COUNTED:
                partners = partners[np.argsort(-often, kind="stable")[:COUNTED]]
            row[: len(partners)] = partners
        found[:, COUNTED:] = near[at]
        found[found == at[:, None]] = PAD
        found.sort(axis=1)
        found[:, 1:][found[:, 1:] == found[:, :-1]] = PAD
        return torch.from_numpy(found).to(items.device)

    def among(self, items: Tensor) -> Tensor:
        """(b, M) different items a row (0 may repeat) -> (b, M, M) all evidence between the items of each row."""
        if 4 * self.size**2 <= DENSE_BYTES:
            flat = self._held()
            at = items[:, :, None] * self.size + items[:, None, :]  # looked up flat: several times faster
            return flat.index_select(0, at.flatten()).view(at.shape)
        counts = self._counts_among(items)
        content = _total([kernel.among(items) for kernel in self.kernels])
        return counts if content is None else counts.add_(content)

    def _held(self) -> Tensor:
        if self._flat is None:
            whole = torch.empty(self.size, self.size, device=self.device)
            for rows in torch.split(torch.arange(self.size, device=self.device), max(1, AT_ONCE // self.size)):
                content = self.content(rows)
                counts = self.behaviour(rows)
                whole[rows] = counts if content is None else counts.add_(content)
            self._flat = whole.flatten()
        return self._flat

    def _counts_among(self, items: Tensor) -> Tensor:
        many = items.shape[1]
        first, second = np.triu_indices(many, 1)
        at = items.cpu().numpy()
        order = np.argsort(at, axis=1)  # what is looked up in order lies together: half the time
        rising, place = np.take_along_axis(at, order, 1), np.argsort(order, axis=1)
        found = np.zeros((len(at), many, many), np.float32)
        found[:, first, second] = self._looked_up(rising[:, first], rising[:, second])  # symmetric: half of them do
        found += found.transpose(0, 2, 1)
        found = found[np.arange(len(at))[:, None, None], place[:, :, None], place[:, None, :]]
        made = torch.from_numpy(found).to(self.device)
        made.diagonal(dim1=1, dim2=2).copy_(self._diagonal[items])
        return made

    def _looked_up(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The counts at these places, of any shape: one binary search over all pairs in the order they are stored,
        some fifty times faster here than indexing the matrix."""
        if self._places is None:
            each = np.diff(self.counts.indptr)
            self._places = np.repeat(np.arange(self.size, dtype=np.int64) * self.size, each) + self.counts.indices
        wanted = rows.astype(np.int64) * self.size + columns
        if not len(self._places):
            return np.zeros(wanted.shape, np.float32)
        at = np.minimum(np.searchsorted(self._places, wanted), len(self._places) - 1)
        return np.where(self._places[at] == wanted, self.counts.data[at], 0)


def _total(parts: list[Tensor]) -> Tensor | None:
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total.add_(part)
    return total
