"""The 100 uniform negatives of the ``uni100`` protocol, made again whenever they are needed.

Draw ``j`` of a user is a hash of (dataset seed, part, user, j): a counter-based generator. So the
negatives of a user never depend on the batch, the device, the run or the order of evaluation, and
nothing has to be stored. Repeated draws and items of the user's whole history are skipped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from llmesr.data.split import Part
from llmesr.ids import PAD

NEGATIVES = 100
_GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_PARTS: dict[Part, int] = {"valid": 1, "test": 2}


def uniform_negatives(users: Tensor, histories: Tensor, n_items: int, *, seed: int, part: Part) -> Tensor:
    """Distinct items, uniform over those outside each user's whole history.

    ``users`` (B,) indices, ``histories`` (B, H) all their items, padded anywhere with 0. Returns (B, 100)
    items; a row whose catalogue has fewer outside the history holds all of them and is filled up with 0.
    """
    history = histories.sort(dim=1).values  # (B, H)
    fresh = torch.ones_like(history, dtype=torch.bool)
    fresh[:, 1:] = history[:, 1:] != history[:, :-1]
    outside = n_items - (fresh & (history != PAD)).sum(1)  # (B,)
    result = torch.full((len(users), NEGATIVES), PAD, dtype=torch.int64, device=users.device)
    for row in torch.nonzero(outside <= NEGATIVES).flatten().tolist():
        free = torch.ones(n_items + 1, dtype=torch.bool, device=users.device)
        free[history[row]] = False
        free[PAD] = False
        left = free.nonzero().flatten()
        result[row, : len(left)] = left
    rows = torch.nonzero(outside > NEGATIVES).flatten()
    draws = 0
    while len(rows):
        share = float(outside[rows].min()) / n_items
        draws = 2 * draws or math.ceil(1.02 * NEGATIVES / share) + 8 + math.ceil(NEGATIVES * NEGATIVES / n_items)
        items, enough = _first_new(_draw(users[rows], draws, n_items, seed, part), history[rows])
        result[rows[enough]] = items[enough]
        rows = rows[~enough]
    return result


def _draw(users: Tensor, draws: int, n_items: int, seed: int, part: Part) -> Tensor:
    """(B, draws) items 1..n_items; the first columns do not depend on ``draws``."""
    base = _mix(torch.tensor(seed * 4 + _PARTS[part], device=users.device) * _GOLDEN)
    stream = _mix(base + (users.long() + 1) * _GOLDEN)  # (B,)
    counter = torch.arange(1, draws + 1, device=users.device) * _GOLDEN
    bits = _mix(stream[:, None] + counter) >> 33 & 0x7FFFFFFF  # (B, draws) 31 random bits
    return (bits * n_items >> 31) + 1


def _mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014) on int64, whose products wrap."""
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ (x >> 31 & 0x1FFFFFFFF)


def _first_new(draws: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
    """The first 100 draws of each row that are neither repeated nor in the sorted ``history``.

    Returns items (B, 100) and whether the row had that many (B,).
    """
    value, order = draws.sort(dim=1, stable=True)  # stable: the first of equal draws comes first
    place = torch.searchsorted(history, value).clamp(max=history.shape[1] - 1)
    bad = history.gather(1, place) == value
    bad[:, 1:] |= value[:, 1:] == value[:, :-1]
    good = torch.empty_like(bad).scatter_(1, order, ~bad)  # back in the order of drawing
    position = good.cumsum(1)  # 1-based place among the accepted
    # Rejected draws and those beyond the hundredth go to a spare last column.
    target = torch.where(good & (position <= NEGATIVES), position - 1, NEGATIVES)
    items = draws.new_full((len(draws), NEGATIVES + 1), PAD).scatter_(1, target, draws)
    return items[:, :NEGATIVES], position[:, -1] >= NEGATIVES
