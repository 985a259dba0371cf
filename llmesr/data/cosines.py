"""How alike items are by who chose them: the shrunk item-to-item cosines of the training part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse

SHRINKAGE = 5.0
"""Added to the norms: a pair that a single user made proves little."""
RECENT = 50
"""Newest training interactions of a user that are paired with one another."""
MOST = 512
"""Items kept beside each item, those with the highest cosines."""
PAIRS = 2**27
"""Pairs kept in all (1.5 GB); a larger catalogue keeps fewer per item."""
AT_ONCE = 2**24
"""Pairs of choices that are counted together, of one item at the least."""


def item_cosines(offsets: np.ndarray, items: np.ndarray, train_lengths: np.ndarray, n_items: int) -> sparse.csr_matrix:
    """(N + 1, N + 1) with c(h, i) = n_hi / (sqrt(n_h n_i) + 5) of the users who chose both, no item beside itself.

    ``offsets`` (U + 1,) and ``items`` as in a dataset, of which each user's first ``train_lengths`` (U,) count.
    Item-based collaborative filtering (Deshpande and Karypis 2004, "Item-based top-N recommendation algorithms")
    with the shrinkage of Bell and Koren (2007); at most ``MOST`` are kept per row.
    """
    chosen = _chosen(offsets, items, train_lengths, n_items)
    return sparse.vstack(list(_rows(chosen)), format="csr")


def _chosen(offsets: np.ndarray, items: np.ndarray, train_lengths: np.ndarray, n_items: int) -> sparse.csr_matrix:
    """(U, N + 1) of zeros and ones: the newest of every user's training part."""
    kept = np.minimum(train_lengths, RECENT)
    user = np.repeat(np.arange(len(kept)), kept)
    step = np.arange(len(user)) - np.repeat(np.cumsum(kept) - kept, kept)
    item = items[np.repeat(offsets[:-1] + train_lengths - kept, kept) + step]
    made = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(len(kept), n_items + 1))
    made.data[:] = 1.0  # a repeated choice counts once
    return made


def _rows(chosen: sparse.csr_matrix) -> Iterator[sparse.csr_matrix]:
    """The cosines of some items at a time."""
    by_item = chosen.T.tocsr()
    norms = np.asarray(chosen.sum(0), np.float32).ravel()
    most = int(np.clip(PAIRS // len(norms), 32, MOST))
    pairs = np.cumsum(by_item @ np.diff(chosen.indptr))  # before equal ones are added up
    starts = np.flatnonzero(np.diff(pairs // AT_ONCE, prepend=-1))
    for start, end in pairwise([*starts, len(norms)]):
        yield _nearest(by_item[start:end] @ chosen, start, norms, most)


def _nearest(counts: sparse.csr_matrix, first: int, norms: np.ndarray, most: int) -> sparse.csr_matrix:
    """The cosines of items ``first``, ``first + 1``, ... from how many users they share with every item; among equal
    ones the lower item number is nearer."""
    counts.sort_indices()
    lengths, column = np.diff(counts.indptr), counts.indices
    item = np.repeat(np.arange(first, first + len(lengths)), lengths)
    cosine = counts.data / (np.sqrt(norms[item] * norms[column]) + SHRINKAGE)
    cosine[item == column] = 0  # all others are greater
    kept = cosine > 0
    for row in np.flatnonzero(lengths > most):
        begin, end = counts.indptr[row : row + 2]
        kept[begin + np.argsort(-cosine[begin:end], kind="stable")[most:]] = False
    many = np.add.reduceat(np.append(kept, False), counts.indptr[:-1], dtype=np.int64) * (lengths > 0)
    starts = np.concatenate([[0], np.cumsum(many)])
    return sparse.csr_matrix((cosine[kept], column[kept], starts), shape=counts.shape)
