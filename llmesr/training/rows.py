"""Training rows and the batches made of them, by array operations alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences, bucketed
from llmesr.data.dataset import Dataset
from llmesr.ids import PAD, mask_id

LAST_ONLY_SHARE = 0.5
"""Cloze rows in which only the newest item is masked: the question that is asked at inference."""


@dataclass(frozen=True)
class Batch:
    """``inputs`` (B, L) is what the encoder reads; ``targets`` (B, L) the item to predict at each
    position, 0 where none; ``lengths`` (B,) of the inputs."""

    users: Tensor
    inputs: Tensor
    targets: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Rows:
    """A row is a user and how much of the training history it reads. Users with fewer than two
    training interactions give no row: there is nothing to predict."""

    users: np.ndarray  # (R,)
    ends: np.ndarray  # (R,)

    @classmethod
    def of(cls, dataset: Dataset, *, max_length: int, all_windows: bool) -> Rows:
        """One row per user and window of ``max_length``; windows are counted back from the newest item."""
        lengths = dataset.split.train_lengths
        users = np.flatnonzero(lengths >= 2)
        windows = np.ceil((lengths[users] - 1) / max_length).astype(np.int64) if all_windows else np.ones_like(users)
        row_users = np.repeat(users, windows)
        back = np.arange(len(row_users)) - np.repeat(np.cumsum(windows) - windows, windows)
        return cls(row_users, lengths[row_users] - back * max_length)

    def batches(self, config: RunConfig, random: np.random.Generator, *, masked: bool) -> list[np.ndarray]:
        """The rows of each step of an epoch (:func:`~llmesr.data.batches.bucketed`)."""
        predicted = self.predicted(config, masked=masked) if config.batches == "positions" else None
        return list(bucketed(np.arange(len(self.users)), self.ends, config.batch_size, random, predicted))

    def predicted(self, config: RunConfig, *, masked: bool) -> np.ndarray:
        """(R,) at how many positions each row predicts; of masked ones, which are drawn, on average."""
        if config.targets == "last":
            return np.ones(len(self.ends))
        ends: np.ndarray = self.ends
        if not masked:
            return ends.clip(max=config.max_length + 1) - 1
        read, ratio = ends.clip(max=config.max_length), config.mask_ratio
        drawn: np.ndarray = ratio * read + (1 - ratio) ** read  # where none was drawn, the newest is masked
        return LAST_ONLY_SHARE + (1 - LAST_ONLY_SHARE) * drawn


def next_item_batch(sequences: Sequences, users: Tensor, ends: Tensor, *, max_length: int, last_only: bool) -> Batch:
    """Inputs are all but the newest item, targets all but the oldest."""
    items, lengths = sequences.padded(users, ends, max_length + 1)
    inputs, targets, lengths = items[:, :-1].clone(), items[:, 1:], lengths - 1
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    inputs[steps >= lengths[:, None]] = PAD  # the newest item of shorter rows is a target only
    if last_only:
        targets = torch.where(steps == lengths[:, None] - 1, targets, PAD)
    return Batch(users, inputs, targets, lengths)


def cloze_batch(
    sequences: Sequences,
    users: Tensor,
    ends: Tensor,
    *,
    max_length: int,
    mask_ratio: float,
    n_items: int,
    last_only: bool,
) -> Batch:
    """Masked positions are the targets (BERT4Rec). Half the rows mask only the newest item."""
    items, lengths = sequences.padded(users, ends, max_length)
    real = items != PAD
    newest = torch.arange(items.shape[1], device=items.device) == lengths[:, None] - 1
    masked = (torch.rand(items.shape, device=items.device) < mask_ratio) & real
    final = torch.rand(len(items), 1, device=items.device) < LAST_ONLY_SHARE
    masked = newest if last_only else torch.where(final | ~masked.any(1, keepdim=True), newest, masked)
    return Batch(users, torch.where(masked, mask_id(n_items), items), torch.where(masked, items, PAD), lengths)


class Prefixes:
    """What stands before each predicted position of a batch, as histories of their own."""

    def __init__(self, batch: Batch, n_items: int) -> None:
        """Masked positions count as the items they hide: they lie in the past of later ones."""
        hidden = batch.inputs == mask_id(n_items)
        self.items = torch.where(hidden, batch.targets, batch.inputs)
        self.row, place = (batch.targets != PAD).nonzero(as_tuple=True)
        self.lengths = place + (~hidden[self.row, place]).long()  # of the next item, all that was read until there

    def __call__(self, some: slice) -> Tensor:
        """(p, L) padded on the right."""
        items, lengths = self.items[self.row[some]], self.lengths[some]
        return torch.where(torch.arange(items.shape[1], device=items.device) < lengths[:, None], items, PAD)


class Seen:
    """Which items a user's training history holds, answered for many pairs at once."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset, self.device, self.n_items = dataset, device, dataset.n_items

    @cached_property
    def keys(self) -> Tensor:
        """(pairs,) every user and item once, as one sorted number: 8 bytes a pair, so only who asks makes them."""
        split = self.dataset.split
        owners = np.repeat(np.arange(self.dataset.n_users), split.train_lengths)
        return torch.from_numpy(np.unique(owners * (self.n_items + 1) + split.train_items)).to(self.device)

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """(...) users and items -> (...) bool."""
        keys = users * (self.n_items + 1) + items
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return self.keys[place] == keys

    def sample(self, users: Tensor, count: int) -> Tensor:
        """(P,) users -> (P, count) uniform items outside their training histories.

        Clashes are drawn again; a user who has nearly everything may keep one after 50 rounds.
        """
        owners = users[:, None].expand(-1, count)
        drawn = torch.randint(1, self.n_items + 1, owners.shape, device=users.device)
        for _ in range(50):
            clash = self.contains(owners, drawn)
            if not bool(clash.any()):
                break
            drawn[clash] = torch.randint(1, self.n_items + 1, (int(clash.sum()),), device=users.device)
        return drawn
