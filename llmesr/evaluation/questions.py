"""What a part asks of a batch of users, as tensors: what they read, what they are to find, and among what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.negatives import uniform_negatives
from llmesr.ids import PAD


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows are users; every tensor is padded on the right with 0."""

    users: Tensor  # (B,)
    inputs: Tensor  # (B, L) what the model reads, oldest first
    targets: Tensor  # (B, T) the distinct items to be found, oldest first; T is 1 where there is one target each
    seen: Tensor  # (B, H) what a list leaves out
    known: Tensor  # (B, K) what negatives lie outside of


class Questions:
    """The questions of one part of a dataset.

    A list leaves out the items of the input history. Where a target repeats one of them (datasets that keep
    repeats), nothing is left out for that user: were only the target spared, "seen before" would rank it first.
    """

    def __init__(
        self,
        dataset: Dataset,
        part: Part,
        sequences: Sequences,
        max_length: int,
        some: np.ndarray | None = None,
    ) -> None:
        """``some`` (S,): only these users are asked, in rising order; all of ``part`` when None."""
        self.dataset, self.part, self.sequences, self.max_length = dataset, part, sequences, max_length
        split, device = dataset.split, sequences.device
        users, items = split.pairs(part)
        if some is not None:
            asked = np.zeros(dataset.n_users, bool)
            asked[some] = True
            users, items = users[asked[users]], items[asked[users]]
        self.pairs = users, items
        """(R,) users and (R,) their targets, as those of ``dataset.split.pairs(part)``."""
        self.users = split.users(part) if some is None else some
        """(U_part,)"""
        self.starts = np.searchsorted(users, self.users)
        """(U_part,) where each user's targets begin among all of :attr:`pairs`."""
        self.counts = np.diff(np.append(self.starts, len(users)))
        self.size = len(users)
        """R, the number of targets."""
        self._place = np.zeros(dataset.n_users, np.int64)
        self._place[self.users] = np.arange(len(self.users))
        self._items = torch.from_numpy(items.astype(np.int64)).to(device)
        self._given = torch.from_numpy(split.input_lengths(part).astype(np.int64)).to(device)
        self._known = torch.from_numpy(split.known_lengths(part).astype(np.int64)).to(device)
        self._longest = max(int(split.known_lengths(part).max(initial=1)), 1)

    def place(self, users: np.ndarray) -> np.ndarray:
        """(B,) the row of each user among :attr:`users`."""
        return np.asarray(self._place[users])

    def rows(self, users: np.ndarray) -> np.ndarray:
        """(B, T) the row of each target among :attr:`pairs`, -1 where a user has fewer."""
        at = self.place(users)
        steps = np.arange(self.counts[at].max(initial=1))
        return np.where(steps < self.counts[at, None], self.starts[at, None] + steps, -1)

    def batch(self, users: np.ndarray) -> Batch:
        """The questions to ``users`` (B,)."""
        who = torch.from_numpy(users).to(self.sequences.device)
        rows = torch.from_numpy(self.rows(users)).to(who.device)
        targets = torch.where(rows < 0, PAD, self._items[rows])  # (B, T)
        given = self._given[who]
        inputs, _ = self.sequences.padded(who, given, self.max_length)
        known, _ = self.sequences.padded(who, self._known[who], self._longest)
        seen = known.masked_fill(torch.arange(known.shape[1], device=who.device) >= given[:, None], PAD)
        again = ((seen[:, :, None] == targets[:, None]) & (targets != PAD)[:, None]).any(2).any(1, keepdim=True)
        return Batch(who, inputs, targets, seen.masked_fill(again, PAD), known)

    def negatives(self, batch: Batch) -> Tensor:
        """(B, 100) the items of ``uni100``, the same for every run on the dataset."""
        dataset = self.dataset
        return uniform_negatives(batch.users, batch.known, dataset.n_items, seed=dataset.seed, part=self.part)
