"""Sequences on the device, and batches of them by array operations alone.

Sequences are padded on the RIGHT: under a causal mask no real position can then see padding, and
the newest item of row ``b`` is at ``lengths[b] - 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.ids import PAD

CUTTING = 2
"""Which way :func:`bucketed` cuts batches of as many positions; to be raised with every change of it. A checkpoint
within an epoch says how many batches lie behind it, which cut in another way are others. 1, of checkpoints that state
none, left a rest of every pool."""


class Sequences:
    """The histories of a dataset as flat tensors on ``device``; on the CPU they are the dataset's own arrays."""

    def __init__(self, dataset: Dataset, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.items = torch.from_numpy(dataset.items).to(self.device)  # (interactions,) int32
        self.starts = torch.from_numpy(dataset.offsets[:-1]).to(self.device)  # (U,)

    def padded(self, users: Tensor, lengths: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
        """The newest ``max_length`` of the first ``lengths[b]`` items of ``users[b]``.

        Returns items (B, L) padded on the right to the longest row, and the row lengths (B,).
        """
        kept = lengths.clamp(max=max_length)
        first = self.starts[users] + lengths - kept
        steps = torch.arange(max(int(kept.max()), 1) if len(kept) else 1, device=self.device)
        real = steps < kept[:, None]  # (B, L)
        index = (first[:, None] + steps).clamp(max=len(self.items) - 1)
        return torch.where(real, self.items[index].long(), PAD), kept


def whole_pasts(dataset: Dataset, part: Part, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """What gives the items of ``users`` (B,) that lie before ``part``, (B, H) padded on the right: all that their lists
    leave out, however little of it a model reads."""
    sequences = Sequences(dataset, device)
    given = torch.from_numpy(dataset.split.input_lengths(part).astype(np.int64)).to(device)

    def before(users: Tensor) -> Tensor:
        lengths = given[users]
        return sequences.padded(users, lengths, max(int(lengths.max()), 1) if len(lengths) else 1)[0]

    return before


def pad_histories(histories: list[list[int]], max_length: int, device: torch.device | str = "cpu") -> Tensor:
    """Lists of item numbers, oldest first -> (B, L) padded on the right, newest ``max_length`` kept."""
    cut = [h[-max_length:] for h in histories]
    width = max([len(h) for h in cut] + [1])
    rows = np.full((len(cut), width), PAD, dtype=np.int64)
    for row, history in zip(rows, cut, strict=True):
        row[: len(history)] = history
    return torch.from_numpy(rows).to(device)


def bucketed(
    users: np.ndarray,
    lengths: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
    predicted: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Batches of users of similar length, in random order; every user once.

    Users are shuffled, cut into pools of some 32 batches, sorted by length inside each pool: little
    padding, and still other neighbours in every epoch. With ``predicted``, at how many positions of each user a choice
    is predicted, a batch has as many of them as ``batch_size`` users have on average: in the mean over a batch each
    choice then counts the same. So pools and batches are cut evenly; a rest would count as much as the others.
    """
    order, batches = rng.permutation(users), list[np.ndarray]()
    pool = batch_size * 32
    if predicted is None:
        pools = np.split(order, np.arange(pool, len(order), pool))
    else:
        pools = np.array_split(order, max(1, round(len(order) / pool)))
        many = batch_size * predicted[users].mean()
    for chunk in pools:
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        if predicted is None:
            batches += np.split(chunk, np.arange(batch_size, len(chunk), batch_size))
        else:
            batches += _evenly(chunk, predicted[chunk], many)
    for i in rng.permutation(len(batches)):
        yield batches[i]


def _evenly(users: np.ndarray, predicted: np.ndarray, many: float) -> list[np.ndarray]:
    """``users`` in their order, cut where each part has about as many positions as every other, near to ``many``."""
    until = np.cumsum(predicted)
    parts = max(1, round(until[-1] / many))
    number = ((until - predicted / 2) * (parts / until[-1])).astype(np.int64)  # by the middle of a user's positions
    return np.split(users, np.flatnonzero(np.diff(number)) + 1)


def in_order(users: np.ndarray, lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Batches for inference: sorted by length, deterministic; every user once."""
    order = users[np.argsort(lengths[users], kind="stable")]
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
