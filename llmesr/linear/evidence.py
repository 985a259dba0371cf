"""What is known of every pair of items: how often they were chosen together, and how alike their vectors are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.linear.kernel import Kernel

AT_ONCE = 2**24
"""Numbers in the rows that are worked out at once (64 MB)."""
DENSE_BYTES = 2**30
"""The evidence between all items is held as one matrix while it is not larger than this; above it is worked out."""


class Evidence:
    """G + sum of kernels over N items, in rows and in blocks. Row and column 0 (padding) are zero."""

    def __init__(
        self, counts: sparse.csr_matrix, kernels: Sequence[Kernel] = (), device: torch.device | str = "cpu"
    ) -> None:
        """``counts`` (N + 1, N + 1) symmetric, with sorted indices; ``kernels`` on ``device``."""
        self.counts = counts
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
        found = np.zeros((len(at), many, many), np.float32)
        found[:, first, second] = self._looked_up(at[:, first], at[:, second])  # symmetric: half of the look-ups do
        found += found.transpose(0, 2, 1)
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
