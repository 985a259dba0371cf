"""Histories without each of their items: what terms that look at items one by one need to read but once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from llmesr.data.batches import pad_histories


@dataclass(frozen=True, eq=False)
class Without:
    """H histories, each followed by what is left of it without each of its different items: R rows."""

    sequences: Tensor  # (R, L) padded on the right
    owner: Tensor  # (R,) whose row it is
    left: Tensor  # (R,) which of its different items is left out; -1 of the whole history
    different: Tensor  # (H, D) its different items, the newest first, padded

    @classmethod
    def of(cls, histories: Sequence[list[int]], different: Sequence[list[int]], device: torch.device | str) -> Self:
        """``histories`` (numbers, oldest first) and their ``different`` items, the newest first."""
        pairs = list(zip(histories, different, strict=True))
        rows = [r for h, d in pairs for r in (h, *([i for i in h if i != o] for o in d))]
        counts = torch.tensor([1 + len(d) for d in different])
        owner = torch.repeat_interleave(torch.arange(len(counts)), counts)
        left = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[owner] - 1
        longest, most = (max(map(len, lists)) for lists in (histories, different))
        padded = pad_histories(rows, longest, device), pad_histories(list(different), most, device)
        return cls(padded[0], owner.to(device), left.to(device), padded[1])

    @property
    def whole(self) -> Tensor:
        """(H,) the rows that are whole histories."""
        return (self.left < 0).nonzero()[:, 0]

    def some(self, first: int, last: int) -> Without:
        """The rows of histories ``first`` to ``last - 1``."""
        rows = ((self.owner >= first) & (self.owner < last)).nonzero()[:, 0]
        return Without(self.sequences[rows], self.owner[rows] - first, self.left[rows], self.different[first:last])
