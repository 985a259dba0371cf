"""Histories without each of their items: what terms that look at items one by one need to read but once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.data.fading import fading
from llmesr.ids import PAD


@dataclass(frozen=True, eq=False)
class Without:
    """H histories, each followed by what is left of it without each of its different items: R rows."""

    sequences: Tensor  # (R, L) padded on the right
    owner: Tensor  # (R,) whose row it is
    left: Tensor  # (R,) which of its different items is left out; -1 of the whole history
    different: Tensor  # (H, D) its different items, the newest first, padded
    _faded: dict[float, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, histories: Sequence[list[int]], different: Sequence[list[int]], device: torch.device | str) -> Self:
        """``histories`` (numbers, oldest first) and their ``different`` items, the newest first."""
        pairs = list(zip(histories, different, strict=True))
        rows = [r for h, d in pairs for r in (h, *_left(h, d))]
        counts = torch.tensor([1 + len(d) for d in different])
        owner = torch.repeat_interleave(torch.arange(len(counts)), counts)
        left = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[owner] - 1
        longest, most = (max(map(len, lists)) for lists in (histories, different))
        padded = pad_histories(rows, longest, device), pad_histories(list(different), most, device)
        return cls(padded[0], owner.to(device), left.to(device), padded[1])

    @cached_property
    def whole(self) -> Tensor:
        """(H,) the rows that are whole histories."""
        return (self.left < 0).nonzero()[:, 0]

    @cached_property
    def histories(self) -> Tensor:
        """(H, L)"""
        return self.sequences[self.whole]

    @property
    def gap(self) -> Tensor:
        """(R,) the place in the history of what is left out: -1 where that is nothing, -2 where it stands at several
        places or nothing is left."""
        item = self.different[self.owner, self.left.clamp(min=0)]
        there = self.histories[self.owner] == item[:, None]  # (R, L)
        one = (there.sum(1) == 1) & (self.sequences[:, 0] != PAD)
        return torch.where(self.left < 0, -1, torch.where(one, there.int().argmax(1), -2))

    @cached_property
    def numbered(self) -> tuple[Tensor, Tensor]:
        """(U,) the different items of all histories, and (H, D) which of them ``different`` names."""
        read, at = torch.unique(self.different, return_inverse=True)
        return read, at

    def faded(self, decay: float) -> Tensor:
        """(H, 1 + D, D) how much each of the different items counts: in the whole history, then without each of them
        (:func:`~llmesr.data.fading.fading`)."""
        if decay not in self._faded:
            read, at = self.numbered
            histories, many = at.shape
            place = torch.zeros(histories, len(read), dtype=torch.int64, device=read.device)
            place.scatter_(1, at, torch.arange(many, device=read.device).expand_as(at))
            where = place[self.owner[:, None], torch.searchsorted(read, self.sequences)]  # (R, L) of the different
            counts = torch.zeros(len(where), many, device=read.device)
            counts.scatter_add_(1, where, fading(self.sequences, decay))
            faded = torch.zeros(histories, 1 + many, many, device=read.device)
            faded[self.owner, 1 + self.left] = counts
            self._faded[decay] = faded
        return self._faded[decay]

    def some(self, first: int, last: int) -> Without:
        """The rows of histories ``first`` to ``last - 1``."""
        if (first, last) == (0, len(self.different)):
            return self
        rows = ((self.owner >= first) & (self.owner < last)).nonzero()[:, 0]
        return Without(self.sequences[rows], self.owner[rows] - first, self.left[rows], self.different[first:last])


def _left(history: list[int], different: list[int]) -> Iterator[list[int]]:
    """``history`` without each of its ``different`` items."""
    once = len(different) == len(history)  # then they are the history, the newest first
    for step, item in enumerate(different):
        at = len(history) - 1 - step
        yield history[:at] + history[at + 1 :] if once else [i for i in history if i != item]
