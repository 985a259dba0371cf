"""Leave-one-out: by how much an item falls behind the catalogue without an item of the history; many lists at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.without import Without

CATALOGUE = 512
"""Items that stand for the catalogue where it has more: drawn once, the same for every history."""
SUMS = 2**26
"""Scores of the whole catalogue that may exist at once, for models that score no less."""
FEWEST = 64


@dataclass(frozen=True, eq=False)
class Lost:
    """What C items lose without each of the D different items of a history."""

    history: list[int]  # D, the newest first
    losses: (
        np.ndarray
    )  # (D, C), as they stand to the mean of the catalogue: a rise of all together ranks nothing higher
    scores: np.ndarray  # (C,) with the whole history


def lost(
    policed: PolicyScorer, histories: Sequence[list[int]], items: Sequence[Sequence[int]], users: Sequence[int]
) -> list[Lost]:
    """For every one of ``histories`` (numbers, oldest first), its ``items`` and its user (-1: nobody known)."""
    device = policed.ground.log_counts.device
    different = [list(dict.fromkeys(reversed(read))) for read in histories]
    rows = Without.of(histories, different, device)
    wanted = pad_histories([list(some) for some in items], max(len(some) for some in items) or 1, device)
    scores, placed = _placed(policed, rows, torch.tensor(users, device=device), wanted)
    found = []
    for at, one, some in zip(rows.whole.tolist(), different, items, strict=True):
        mine = placed[at : at + 1 + len(one), : len(some)]
        # Where nothing is left to compare with all is due to the one item there is.
        losses = mine[0] - mine[1:] if len(one) > 1 else np.ones((1, len(some)))
        found.append(Lost(one, losses, scores[at, : len(some)]))
    return found


def _placed(policed: PolicyScorer, rows: Without, users: Tensor, items: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scores (R, C) of the ``items`` (H, C) of every history after all its ``rows``, and how far they are above the
    catalogue's mean."""
    number = policed.n_items
    drawn = np.arange(number)
    if number > CATALOGUE:
        drawn = np.sort(np.random.default_rng(0).choice(number, CATALOGUE, replace=False))
    catalogue = torch.from_numpy(drawn + 1).to(items.device)
    scores, placed = [], []
    for first, last in _parts(rows, SUMS // (number + 1)):
        some, asked = rows.some(first, last), items[first:last]
        who = users[first:last][some.owner]
        if policed.scores_few:
            own, others = (_sum(policed.split_without(some, who, wanted)) for wanted in (asked, catalogue))
        else:
            whole = policed.score(some.sequences, who).double()
            own, others = whole.gather(1, asked[some.owner]), whole[:, catalogue]
        scores.append(own)
        placed.append(own - others.mean(1, keepdim=True))
    return torch.cat(scores).cpu().numpy(), torch.cat(placed).cpu().numpy()


def _parts(rows: Without, many: int) -> Iterator[tuple[int, int]]:
    """Histories from one to before another, at least one, that have at most ``many`` or :data:`FEWEST` rows."""
    first, taken = 0, 0
    for at, own in enumerate(torch.bincount(rows.owner).tolist()):
        if first < at and taken + own > max(FEWEST, many):
            yield first, at
            first, taken = at, 0
        taken += own
    yield first, len(rows.different)


def _sum(parts: dict[str, Tensor]) -> Tensor:
    first, *others = (part.double() for part in parts.values())
    return sum(others, start=first)
