"""Histories without one of their items, as a causal encoder reads them: nothing that it makes twice.

Without an item, all that is older than the gap moves by one place where places are counted from the newest, and all
that is newer where they are counted from the oldest. So an item has two tokens, *before* and *after* a gap. What is
made of a token, and of one after a gap with what it may attend, is asked for by many rows and made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """R rows, each one of H histories of L items at the most, or what is left of one without an item. States are those
    of H * L tokens before a gap, of as many after one, which may attend all older ones of their half, and of P pairs: a
    gap, and a newer item that sees what is on both sides of it."""

    real: Tensor  # (R, L) where rows have an item
    token: Tensor  # (R, L) which token stands there
    state: Tensor  # (R, L) which state the first block makes there
    pair: Tensor  # (P,) which of the H * (L * (L - 1) / 2) pairs are asked for
    newer: Tensor  # (P,) the token of the newer item of each

    @classmethod
    def of(cls, lengths: Tensor, longest: int, owner: Tensor, gap: Tensor, newest_first: bool) -> Self:
        """``lengths`` (H,) of the histories, ``owner`` (R,) whose row it is and ``gap`` (R,) the place of the item that
        is left out of it, -1 of all of the history. ``newest_first``: places are counted from the newest item."""
        device, half = lengths.device, len(lengths) * longest
        own = torch.arange(len(lengths), device=device)[:, None] * longest
        asked = torch.zeros(half, dtype=torch.bool, device=device)
        asked[(owner * longest + gap)[gap >= 0]] = True
        out, newer, number = _pairs(longest, device)
        there = asked.view_as(own.expand(-1, longest))[:, out] & (newer < lengths[:, None])  # (H, L * (L - 1) / 2)
        pair = there.view(-1).nonzero()[:, 0]
        order = F.pad(there.view(-1).cumsum(0).view_as(there) + (2 * half - 1), (0, 1))  # which state a pair has

        left, place = gap[:, None], torch.arange(longest, device=device)
        whole = left < 0
        item = torch.where(whole, place, place + (place >= left)).clamp(max=longest - 1)  # (R, L)
        before = torch.where(whole, not newest_first, item < left)
        token = own[owner] + item + torch.where(before, 0, half)
        of_pair = order[owner[:, None], number[left.clamp(min=0), item]]
        return cls(
            real=place < (lengths[owner] - (gap >= 0).long())[:, None],
            token=token,
            state=torch.where(before | whole, token, of_pair),
            pair=pair,
            newer=(half + own + newer).view(-1).index_select(0, pair),
        )

    @property
    def states(self) -> Tensor:
        """(S,) a position (r * L + l) of every state, 0 of those that no row has."""
        place = self.real.view(-1).nonzero()[:, 0]
        state = self.state.view(-1).index_select(0, place)
        return self.state.new_zeros(int(state.max()) + 1).scatter_(0, state, place)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # what is kept may be asked for where gradients are
def _pairs(longest: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The gap and the newer item of every pair (L * (L - 1) / 2,), and which pair two items are (L, L)."""
    gap, newer = torch.triu_indices(longest, longest, 1, device=device)
    number = torch.zeros(longest, longest, dtype=torch.int64, device=device)
    number[gap, newer] = torch.arange(len(gap), device=device)
    return gap, newer, number


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def around(longest: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The newer item of every pair, and 0 where it may attend one of L tokens before and L after a gap, else minus
    infinity: (L * (L - 1) / 2, 2 * L)."""
    gap, newer, _ = _pairs(longest, device)
    place = torch.arange(longest, device=device)
    seen = torch.cat([place < gap[:, None], (place > gap[:, None]) & (place <= newer[:, None])], 1)
    return newer, torch.zeros(seen.shape, device=device).masked_fill_(~seen, -torch.inf)
