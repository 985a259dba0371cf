"""Leave-one-out: by how much an item falls behind the catalogue without an item of the history; many lists at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.scoring.policy_scorer import PolicyScorer

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
    counts = [1 + len(one) for one in different]
    rows = [r for h, d in zip(histories, different, strict=True) for r in (h, *([i for i in h if i != o] for o in d))]
    longest = max(len(h) for h in histories)
    sequences = pad_histories(rows, longest, device)
    wanted = pad_histories([list(some) for some in items], max(len(some) for some in items) or 1, device)
    owner = torch.repeat_interleave(torch.tensor(counts))
    asked = torch.tensor(users, device=device)[owner]
    scores, placed = _placed(policed, sequences, asked, wanted[owner])
    found = []
    for at, one, some in zip(np.cumsum([0, *counts[:-1]]), different, items, strict=True):
        mine = placed[at : at + 1 + len(one), : len(some)]
        # Where nothing is left to compare with all is due to the one item there is.
        losses = mine[0] - mine[1:] if len(one) > 1 else np.ones((1, len(some)))
        found.append(Lost(one, losses, scores[at, : len(some)]))
    return found


def _placed(policed: PolicyScorer, sequences: Tensor, users: Tensor, items: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scores of ``items`` (B, C) after ``sequences`` (B, L), and how far they are above the catalogue's mean."""
    number = policed.n_items
    drawn = np.arange(number)
    if number > CATALOGUE:
        drawn = np.sort(np.random.default_rng(0).choice(number, CATALOGUE, replace=False))
    catalogue = torch.from_numpy(drawn + 1).to(sequences.device)
    at_once = max(FEWEST, SUMS // (number + 1))
    scores, placed = [], []
    for some in torch.arange(len(sequences), device=sequences.device).split(at_once):
        rows, who = sequences[some], users[some]  # the same objects for both: models keep what they read last
        if policed.scores_few:
            own, others = (_sum(policed.split(rows, who, asked)) for asked in (items[some], catalogue))
        else:
            whole = policed.score(rows, who).double()
            own, others = whole.gather(1, items[some]), whole[:, catalogue]
        scores.append(own)
        placed.append(own - others.mean(1, keepdim=True))
    return torch.cat(scores).cpu().numpy(), torch.cat(placed).cpu().numpy()


def _sum(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack([part.double() for part in parts.values()]).sum(0)
