"""The co-occurrence term: how often a candidate was chosen by those who chose what is in the history."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.ids import PAD

SCALE = 10.0
"""Of the sum inside the logarithm; what a history of many items adds up to grows ever slower."""
AT_ONCE = 2**24
"""Pairs of items that are summed at once."""


class CooccurrenceTerm:
    """log(1 + 10 * sum over the history of c(h, i)) for the whole catalogue, with c(h, i) the shrunk cosine of
    :mod:`llmesr.data.cosines`. A sequence model trained on few users forgets single pairs; this remembers them.
    """

    def __init__(self, cosines: sparse.csr_matrix, device: torch.device | str = "cpu") -> None:
        """``cosines`` (N + 1, N + 1): row h holds c(h, i)."""
        self.size = cosines.shape[0]
        self.starts = torch.from_numpy(cosines.indptr.astype(np.int64)).to(device)  # (N + 2,)
        self.items = torch.from_numpy(cosines.indices.astype(np.int32)).to(device)
        self.cosines = torch.from_numpy(cosines.data.astype(np.float32)).to(device)

    @classmethod
    def from_dataset(cls, dataset: Dataset, device: torch.device | str = "cpu") -> Self:
        """From the training part of a dataset, which keeps its cosines: making a second term costs little."""
        return cls(dataset.item_cosines, device)

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1); 0 where nothing of the history was ever chosen together."""
        return self._sums(sequences).mul_(SCALE).log1p_()

    @torch.inference_mode()
    def of(self, sequences: Tensor, items: Tensor) -> Tensor:
        """The same for few items: (B, L) and (B, C) -> (B, C)."""
        return self._sums(sequences).gather(1, items).mul_(SCALE).log1p_()

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
