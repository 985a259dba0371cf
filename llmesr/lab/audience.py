"""Who is asked, and at which rank each of them would see an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.ranks import BLOCK, full_ranks
from llmesr.progress import Progress, silent
from llmesr.scoring.scored_run import ScoredRun

AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Audience:
    """U users, each with so much of the history as is known when they are asked."""

    users: np.ndarray  # (U,) rising
    lengths: np.ndarray  # (U,)
    described: str
    """In captions, after a number: "of 943 users, after their whole history"."""

    def __len__(self) -> int:
        return len(self.users)


def everyone(dataset: Dataset, most: int, seed: int) -> Audience:
    """Every user after the whole history; of more than ``most``, so many drawn at random."""
    users = np.flatnonzero(dataset.lengths)
    described = "users, after their whole history"
    if len(users) > most:
        described = f"users drawn at random of {len(users):,}, after their whole history"
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    return Audience(users, dataset.lengths[users], described)


def asked(dataset: Dataset, part: Part, users: np.ndarray | None = None) -> Audience:
    """The users of ``part``, or some of them, with what they had chosen before."""
    found = dataset.split.users(part) if users is None else users
    word = {"valid": "validation", "test": "test"}[part]
    return Audience(found, dataset.split.input_lengths(part)[found], f"{word} users, after what they chose before")


def owners(dataset: Dataset, items: np.ndarray) -> np.ndarray:
    """(U,) bool: who has one of ``items`` (S,) in the whole history."""
    owned = np.zeros(dataset.n_users, bool)
    if len(items):
        owned[np.searchsorted(dataset.offsets, np.flatnonzero(np.isin(dataset.items, items)), side="right") - 1] = True
    return owned


@torch.inference_mode()
def ranks_of(
    scored: ScoredRun, items: np.ndarray, audience: Audience, progress: Progress = silent, stage: str = "asking users"
) -> np.ndarray:
    """(U, S) int32 the rank of each of ``items`` (S,) among all items that a user has not chosen (ties share the
    middle); 0 where the item itself stands in the history, and so in no list."""
    dataset = scored.dataset
    scorer, sequences = scored.judging(), Sequences(dataset, scored.device)
    wanted = torch.from_numpy(items.astype(np.int64)).to(scored.device)
    found = np.zeros((len(audience), len(items)), np.int32)
    given = np.zeros(dataset.n_users, np.int64)
    given[audience.users] = audience.lengths
    done = 0
    for users in in_order(audience.users, given, max(1, min(AT_ONCE, BLOCK // (dataset.n_items + 1)))):
        who, known = (torch.from_numpy(a).to(scored.device) for a in (users, given[users]))
        inputs, _ = sequences.padded(who, known, scored.max_length)
        seen, _ = sequences.padded(who, known, int(given[users].max()))
        scores = scorer.score(inputs, who).float()
        rank = full_ranks(scores, wanted.expand(len(users), -1), seen)[:, 0]  # (B, S)
        rank = rank.masked_fill(_within(seen, wanted, dataset.n_items), 0)
        found[np.searchsorted(audience.users, users)] = rank.cpu().numpy()
        done += len(users)
        progress(stage, done, len(audience))
    return found


def _within(seen: Tensor, items: Tensor, n_items: int) -> Tensor:
    """(B, S) whether each of ``items`` stands in a row of ``seen`` (B, H)."""
    marked = torch.zeros(len(seen), n_items + 1, dtype=torch.bool, device=seen.device)
    return marked.scatter_(1, seen, True)[:, items]


def reached(ranks: np.ndarray, k: int) -> np.ndarray:
    """Whether an item of these ranks stands in a list of ``k``; of the shape of ``ranks``."""
    return np.asarray((ranks > 0) & (ranks <= k))
