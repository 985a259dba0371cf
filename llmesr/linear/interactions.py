"""The training part of a dataset as sparse counts: users by items, and pairs of items."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from llmesr.data.dataset import Dataset

PAIRS = 2**28
"""Most pairs of items counted, before equal ones are added up (3 GB): beyond it the longest histories are shortened."""


def chosen(dataset: Dataset, newest: int | None = None) -> sparse.csr_matrix:
    """(U, N + 1) zeros and ones: what each user chose in the training part, or the ``newest`` of it."""
    lengths = np.asarray(dataset.split.train_lengths)
    kept = lengths if newest is None else np.minimum(lengths, newest)
    user, at = _positions(dataset.offsets[:-1] + lengths - kept, kept)
    made = sparse.csr_matrix(
        (np.ones(len(user), np.float32), (user, dataset.items[at])), shape=(dataset.n_users, dataset.n_items + 1)
    )
    made.data[:] = 1.0  # a repeated choice counts once
    return made


def bounded(lengths: np.ndarray, pairs: int = PAIRS) -> int | None:
    """The longest history that keeps the number of pairs within ``pairs``; None when all of them fit."""
    lengths = np.asarray(lengths, np.int64)
    if int((lengths**2).sum()) <= pairs:
        return None
    low, high = 1, int(lengths.max())
    while high - low > 1:
        middle = (low + high) // 2
        fits = int((np.minimum(lengths, middle) ** 2).sum()) <= pairs
        low, high = (middle, high) if fits else (low, middle)
    return low


def gram(users: sparse.csr_matrix) -> sparse.csr_matrix:
    """(N + 1, N + 1) in how many histories of ``users`` (U, N + 1) two items stand together; on the diagonal, n_i."""
    counted = (users.T @ users).tocsr()
    counted.sort_indices()
    return counted


def followed(dataset: Dataset, window: int, reverse_weight: float) -> sparse.csr_matrix:
    """(N + 1, N + 1) row h, column i: how often i came at most ``window`` steps after h in the training part.

    A pair the other way round counts ``reverse_weight`` (1: the order does not matter).
    """
    lengths = np.asarray(dataset.split.train_lengths)
    user, at = _positions(dataset.offsets[:-1], lengths)
    item, size = dataset.items[at], dataset.n_items + 1
    total = sparse.csr_matrix((size, size), dtype=np.float32)
    for step in range(1, window + 1):
        same = user[step:] == user[:-step]
        earlier, later = item[:-step][same], item[step:][same]
        total = total + sparse.csr_matrix((np.ones(len(earlier), np.float32), (earlier, later)), shape=(size, size))
    if reverse_weight:
        total = total + reverse_weight * total.T.tocsr()
    total.setdiag(0)
    total.eliminate_zeros()
    return total.tocsr()


def _positions(first: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The user of every interaction kept, and where it stands: ``kept`` (U,) of them from ``first`` (U,) on."""
    user = np.repeat(np.arange(len(kept)), kept)
    step = np.arange(len(user)) - np.repeat(np.cumsum(kept) - kept, kept)
    return user, np.repeat(first, kept) + step
