"""The co-occurrence term: how often a candidate was chosen by those who chose what is in the history."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.ids import PAD

SHRINKAGE = 5.0
"""Added to the norms: a pair that a single user made proves little."""
SCALE = 10.0
"""Of the sum inside the logarithm; what a history of many items adds up to grows ever slower."""
RECENT = 50
"""Newest training interactions of a user that are paired with one another."""
MOST = 512
"""Items kept beside each item, those with the highest cosines."""
PAIRS = 2**27
"""Pairs kept in all (1.5 GB); a larger catalogue keeps fewer per item."""
AT_ONCE = 2**24
"""Bounds what exists at once while counting and while scoring."""


class CooccurrenceTerm:
    """log(1 + 10 * sum over the history of c(h, i)) for the whole catalogue, with the shrunk cosine
    c(h, i) = n_hi / (sqrt(n_h n_i) + 5) of the users who chose both.

    Item-based collaborative filtering (Deshpande and Karypis 2004, "Item-based top-N recommendation
    algorithms") with the shrinkage of Bell and Koren (2007). A sequence model trained on few users forgets
    single pairs; this remembers them.
    """

    def __init__(self, cosines: sparse.csr_matrix, device: torch.device | str = "cpu") -> None:
        """``cosines`` (N + 1, N + 1): row h holds c(h, i)."""
        self.size = cosines.shape[0]
        self.starts = torch.from_numpy(cosines.indptr.astype(np.int64)).to(device)  # (N + 2,)
        self.items = torch.from_numpy(cosines.indices.astype(np.int32)).to(device)
        self.cosines = torch.from_numpy(cosines.data.astype(np.float32)).to(device)

    @classmethod
    def from_dataset(cls, dataset: Dataset, device: torch.device | str = "cpu") -> Self:
        """From the training part of a dataset."""
        return cls(cosines(dataset), device)

    @torch.inference_mode()
    def score(self, sequences: Tensor) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1); 0 where nothing of the history was ever chosen together."""
        return self._sums(sequences).mul_(SCALE).log1p_()

    @torch.inference_mode()
    def of(self, sequences: Tensor, candidates: Tensor) -> Tensor:
        """The same for few candidates: (B, L) and (B, C) -> (B, C)."""
        return self._sums(sequences).gather(1, candidates).mul_(SCALE).log1p_()

    def _sums(self, sequences: Tensor) -> Tensor:
        """(B, L) -> (B, N + 1) sums of cosines over the history."""
        real = sequences != PAD
        owner = real.nonzero()[:, 0]  # (H,) the row of every item of the histories
        item = sequences[real]
        first = self.starts[item]
        many = self.starts[item + 1] - first
        total = torch.zeros(len(sequences) * self.size, device=sequences.device)
        bounds = torch.cumsum(many, 0)
        begin = 0
        while begin < len(item):
            done = int(bounds[begin - 1]) if begin else 0
            end = max(begin + 1, int(torch.searchsorted(bounds, done + AT_ONCE, right=True)))
            self._add(total, owner[begin:end], first[begin:end], many[begin:end])
            begin = end
        return total.view(len(sequences), self.size)

    def _add(self, total: Tensor, owner: Tensor, first: Tensor, many: Tensor) -> None:
        """Add the stored rows of some items of the histories to the rows of their users."""
        each = torch.repeat_interleave(torch.arange(len(many), device=many.device), many)  # (pairs,)
        within = torch.arange(len(each), device=many.device) - (torch.cumsum(many, 0) - many)[each]
        at = first[each] + within
        total.index_add_(0, owner[each] * self.size + self.items[at], self.cosines[at])


def cosines(dataset: Dataset) -> sparse.csr_matrix:
    """(N + 1, N + 1) shrunk cosines of the training part, at most ``MOST`` per row; no item beside itself."""
    chosen = _chosen(dataset)  # (U, N + 1) of zeros and ones
    by_item = chosen.T.tocsr()
    norms = np.asarray(chosen.sum(0), np.float32).ravel()
    size = len(norms)
    most = int(np.clip(PAIRS // size, 32, MOST))
    rows = max(1, AT_ONCE // size)
    parts = [_nearest(by_item[start : start + rows] @ chosen, start, norms, most) for start in range(0, size, rows)]
    return sparse.vstack(parts, format="csr")


def _chosen(dataset: Dataset) -> sparse.csr_matrix:
    lengths = dataset.split.train_lengths
    kept = np.minimum(lengths, RECENT)
    user = np.repeat(np.arange(dataset.n_users), kept)
    step = np.arange(len(user)) - np.repeat(np.cumsum(kept) - kept, kept)
    item = dataset.items[np.repeat(dataset.offsets[:-1] + lengths - kept, kept) + step]
    made = sparse.csr_matrix(
        (np.ones(len(user), np.float32), (user, item)), shape=(dataset.n_users, dataset.n_items + 1)
    )
    made.data[:] = 1.0  # a repeated choice counts once
    return made


def _nearest(counts: sparse.csr_matrix, first: int, norms: np.ndarray, most: int) -> sparse.csr_matrix:
    """The cosines of items ``first``, ``first + 1``, ... from how many users they share with every item."""
    pairs = counts.tocoo()
    other = pairs.row + first != pairs.col
    row, column, shared = pairs.row[other], pairs.col[other], pairs.data[other]
    cosine = shared / (np.sqrt(norms[row + first] * norms[column]) + SHRINKAGE)
    order = np.lexsort((column, -cosine, row))
    row, column, cosine = row[order], column[order], cosine[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)  # 0 is the nearest of its row
    near = place < most
    return sparse.csr_matrix((cosine[near], (row[near], column[near])), shape=counts.shape)
