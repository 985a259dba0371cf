"""The candidates of users, and a run whose lists are re-ordered for some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import Sequences, in_order
from llmesr.data.split import Part
from llmesr.evaluation.ranks import BLOCK, top_unseen
from llmesr.models.allocated import dealt
from llmesr.models.scorers import Scorer
from llmesr.progress import Progress, silent
from llmesr.scoring.scored_run import ScoredRun


@dataclass(frozen=True, eq=False)
class Lists:
    """For ``users`` (V,), when ``part`` is asked: candidates (V, n), the best first, 0 where there are fewer."""

    part: Part
    users: np.ndarray
    items: np.ndarray

    def of(self, rows: np.ndarray) -> Lists:
        """Some of the rows."""
        return Lists(self.part, self.users[rows], self.items[rows])

    def ordered(self, items: np.ndarray) -> Lists:
        """The same users with their candidates in another order. ValueError when one is lost or invented."""
        if items.shape != self.items.shape or (np.sort(items, axis=1) != np.sort(self.items, axis=1)).any():
            raise ValueError("a second ranker gives back the candidates that it was given")
        return Lists(self.part, self.users, items)


@torch.inference_mode()
def candidates(scored: ScoredRun, part: Part, users: np.ndarray, count: int, progress: Progress = silent) -> Lists:
    """The run's ``count`` best items for each of ``users`` (V,), none of the history that it reads from."""
    opened = scored.of(part)
    dataset, scorer, device = opened.dataset, opened.judging(), scored.device
    sequences = Sequences(dataset, device)
    given = dataset.split.input_lengths(part)
    found = np.zeros((len(users), min(count, dataset.n_items)), np.int32)
    place = np.zeros(dataset.n_users, np.int64)
    place[users] = np.arange(len(users))
    done = 0
    for some in in_order(users, given, max(1, min(256, BLOCK // (dataset.n_items + 1)))):
        who = torch.from_numpy(some).to(device)
        lengths = torch.from_numpy(given[some].astype(np.int64)).to(device)
        seen, _ = sequences.padded(who, lengths, max(int(given[some].max(initial=1)), 1))
        inputs, _ = sequences.padded(who, lengths, opened.max_length)
        scores = scorer.score(inputs, who).float()
        found[place[some]] = top_unseen(scores, seen, k=found.shape[1]).cpu().numpy()
        done += len(some)
        progress(f"candidates ({part})", done, len(users))
    return Lists(part, users, found)


class Relisted:
    """A scorer whose best items stand in another order for some users: what they scored is dealt out again.

    The others' scores are those of ``inner``, bit for bit.
    """

    def __init__(self, inner: Scorer, lists: Lists, n_users: int, device: torch.device | str = "cpu") -> None:
        self.inner, self.n_items = inner, inner.n_items
        self.items = torch.from_numpy(lists.items.astype(np.int64)).to(device)
        self.place = torch.full((n_users,), -1, device=device)
        self.place[torch.from_numpy(lists.users).to(device)] = torch.arange(len(lists.users), device=device)

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) and the known users (B,) -> (B, N + 1)."""
        if users is None:
            raise ValueError("lists are re-ordered for users that are known")
        scores = self.inner.score(sequences, users)
        place = self.place[users]
        rows = (place >= 0).nonzero()[:, 0]
        if not len(rows):
            return scores
        scores = scores.clone()
        items = self.items[place[rows]]  # (R, n)
        scores[rows] = dealt(scores[rows], items)
        return scores
