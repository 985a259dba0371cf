"""Item-to-item weights that are counts: item-knn and Markov chains."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
import torch

from llmesr.linear.weights import Columns, Weights

Scaled = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Counts, their columns and their rows -> weights."""
AT_ONCE = 2**24
"""Pairs that are weighed at once, of one item at the least."""


def cosines(counts: sparse.csr_matrix, *, shrinkage: float, neighbours: int) -> Weights:
    """n_hi / (sqrt(n_h n_i) + shrinkage) of the users who chose both; each item keeps its nearest.

    Item-based collaborative filtering (Deshpande and Karypis 2004) with the shrinkage of Bell and Koren (2007).
    """
    norms = counts.diagonal()

    def scaled(count: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return np.asarray(count / (np.sqrt(norms[row] * norms[column]) + shrinkage))

    return _nearest(counts, scaled, neighbours)


def transitions(follows: sparse.csr_matrix, chosen: np.ndarray, *, shrinkage: float, neighbours: int) -> Weights:
    """c_hi / (n_h + shrinkage): how often i followed h, of the times ``chosen`` (N + 1,) that h was there.

    A first-order Markov chain whose rare states are shrunk; ``follows`` as of
    :func:`llmesr.linear.interactions.followed`.
    """

    def scaled(count: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return np.asarray(count / (chosen[row] + shrinkage))

    return _nearest(follows, scaled, neighbours)


def _nearest(counts: sparse.csr_matrix, scaled: Scaled, neighbours: int) -> Weights:
    """For each column the rows with the greatest scaled counts, itself left out; ties to the lower item number."""
    size = counts.shape[0]
    by_column = counts.T.tocsr()  # its rows rise by number, so that a stable sort settles ties
    starts = by_column.indptr
    most = max(1, min(neighbours, size - 2))
    items, weights = np.zeros((size - 1, most), np.int32), np.zeros((size - 1, most), np.float32)
    firsts = np.flatnonzero(np.diff(starts[1:-1] // AT_ONCE, prepend=-1)) + 1
    for first, end in pairwise([*firsts, size]):
        block = slice(starts[first], starts[end])
        row = by_column.indices[block]
        column = np.repeat(np.arange(first, end), np.diff(starts[first : end + 1]))
        value = scaled(by_column.data[block], column, row)
        for item, (begin, stop) in enumerate(pairwise(starts[first : end + 1] - starts[first]), first):
            near = begin + np.argsort(-value[begin:stop], kind="stable")[: most + 1]
            near = near[row[near] != item][:most]
            items[item - 1, : len(near)] = row[near]
            weights[item - 1, : len(near)] = value[near]
    return Weights.sparse(Columns(torch.from_numpy(items), torch.from_numpy(weights)))
