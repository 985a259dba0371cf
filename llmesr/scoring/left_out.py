"""Leave-one-out: by how much an item falls behind the catalogue without an item of the history; many lists at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.without import Without

CATALOGUE = 256
"""Items that stand for a catalogue that has more, in terms whose mean asks for every score: drawn once, the same for
every history. With all other terms exact, as far off as 512 that stand for all of them."""
SUMS = 2**26
"""Scores that may exist at once of models that always score the whole catalogue."""
FEWEST, MOST = 64, 4096
"""Histories that are read at once, at the least and at the most."""


@dataclass(frozen=True, eq=False)
class Lost:
    """What the C items of each of H lists lose without each of the different items of a history, D at the most; what
    is beyond a list or a history says nothing."""

    different: list[list[int]]
    """The different items of each history, the newest first."""
    losses: Tensor
    """(H, C, D) as scores stand to the mean of the catalogue: a rise of all together ranks nothing higher. Minus
    infinity beyond a history."""
    scores: np.ndarray  # (H, C) with the whole history
    parts: dict[str, np.ndarray]
    """What each term adds to these, (H, C) by name; of models that score few items at a time."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Histories without each of their items, as a model reads them: once, for a list and for its reasons."""

    different: list[list[int]]  # of each history its different items, the newest first
    rows: Without
    read: Tensor | None  # (R, D) what a dot-product model makes of the rows

    @classmethod
    def of(cls, policed: PolicyScorer, histories: Sequence[list[int]]) -> Self:
        """Of ``histories`` (numbers, oldest first)."""
        different = [list(dict.fromkeys(reversed(read))) for read in histories]
        rows = Without.of(histories, different, policed.ground.log_counts.device)
        if not policed.scores_few:
            return cls(different, rows, None)
        read = [policed.leave_one_out(rows.some(*part)) for part in _parts(rows, MOST)]
        return cls(different, rows, torch.cat(read) if len(read) > 1 else read[0])

    def know(self, policed: PolicyScorer, sequences: Tensor) -> None:
        """Have the model remember what it made of the whole histories, which are ``sequences`` (H, L)."""
        if self.read is not None:
            policed.know(sequences, self.read[self.rows.whole])


def lost(policed: PolicyScorer, reading: Reading, items: Sequence[Sequence[int]], users: Sequence[int]) -> Lost:
    """For every history of ``reading`` its ``items`` and its user (-1: nobody known)."""
    device, rows = policed.ground.log_counts.device, reading.rows
    wanted = pad_histories([list(some) for some in items], max(len(some) for some in items) or 1, device)
    scores, placed, parts = _placed(policed, reading, torch.tensor(users, device=device), wanted)
    histories, most = rows.different.shape
    table = placed.new_full((histories, 1 + most, placed.shape[1]), torch.inf)
    table[rows.owner, 1 + rows.left] = placed
    losses = table[:, :1] - table[:, 1:]
    # Where nothing is left to compare with all is due to the one item there is.
    alone = torch.tensor([len(one) == 1 for one in reading.different], device=device)
    losses[alone, 0] = 1.0
    arrays = {name: part.cpu().numpy() for name, part in parts.items()}
    return Lost(reading.different, losses.transpose(1, 2), scores.cpu().numpy(), arrays)


def _placed(
    policed: PolicyScorer, reading: Reading, users: Tensor, items: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Scores (H, C) of the ``items`` (H, C) of every history, how far they are above the catalogue's mean after all its
    rows, (R, C), and what each term adds to the scores, where it is known."""
    drawn = _drawn(policed.n_items).to(items.device)
    scores, placed, parts, done = [], [], [], 0
    for part in _parts(reading.rows, MOST if policed.scores_few else min(MOST, SUMS // (policed.n_items + 1))):
        some, asked = reading.rows.some(*part), items[slice(*part)]
        who = users[slice(*part)][some.owner]
        if reading.read is not None:
            policed.know(some.sequences, reading.read[done : done + len(some.sequences)])
            split, mean = policed.without(some, who, asked, drawn)
            own = _sum(split)
            parts.append({name: term[some.whole] for name, term in split.items()})
        else:
            whole = policed.score(some.sequences, who)
            own, mean = whole.gather(1, asked[some.owner]).double(), whole[:, 1:].mean(1, dtype=torch.float64)
        scores.append(own[some.whole])
        placed.append(own - mean[:, None])
        done += len(some.sequences)
    names = parts[0] if parts else ()
    split = {name: torch.cat([part[name] for part in parts]).float() for name in names}
    return torch.cat(scores), torch.cat(placed), split


@cache
def _drawn(number: int) -> Tensor:
    """The items, of 1 to ``number``, that stand for all."""
    if number <= CATALOGUE:
        return torch.arange(1, number + 1)
    return torch.from_numpy(1 + np.sort(np.random.default_rng(0).choice(number, CATALOGUE, replace=False)))


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
