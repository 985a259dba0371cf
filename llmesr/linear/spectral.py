"""Items and users as vectors, for maps and neighbours: the main directions of an item-to-item weight matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from llmesr.data.fading import fading
from llmesr.linear.scorer import LinearScorer
from llmesr.linear.weights import Weights


class SpectralScorer:
    """The vectors of a linear model's items and users, whose dot products come near its scores without the fallback."""

    def __init__(self, scorer: LinearScorer, size: int = 64) -> None:
        self.n_items, self.decay = scorer.n_items, scorer.decay
        self._history, self._candidates = spectral(scorer.weights, size)
        self.view_slices = {"collaborative": slice(0, self._candidates.shape[1])}

    def represent(self, sequences: Tensor) -> Tensor:
        """(B, L) -> (B, D) the faded sum of a history."""
        faded = fading(sequences, self.decay)
        return F.embedding_bag(sequences, self._history, per_sample_weights=faded, mode="sum")

    def item_matrix(self) -> Tensor:
        """(N + 1, D) items as candidates."""
        return self._candidates

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1)."""
        return self.represent(sequences) @ self._candidates.T


def spectral(weights: Weights, size: int = 64) -> tuple[Tensor, Tensor]:
    """B as a product: (N + 1, D) items of a history times (N + 1, D) candidates, its best approximation of rank D.

    The truncated singular value decomposition with both sides scaled by the roots of the singular values. The sign of
    each direction is fixed: its largest entry by magnitude on the candidates' side is positive.
    """
    from scipy.sparse.linalg import svds  # here: a server starts without it

    matrix = _matrix(weights)
    many = min(size, matrix.shape[0] - 2)
    start = np.random.default_rng(0).normal(size=matrix.shape[0])
    left, values, right = svds(matrix, k=many, v0=start)
    order = np.argsort(-values)
    root = np.sqrt(values[order])
    history, candidates = left[:, order] * root, right[order].T * root
    largest = candidates[np.abs(candidates).argmax(0), np.arange(many)]
    sign = np.where(largest < 0, -1.0, 1.0)
    return tuple(torch.from_numpy((side * sign).astype(np.float32)) for side in (history, candidates))  # type: ignore[return-value]


def _matrix(weights: Weights) -> sparse.csr_matrix | np.ndarray:
    """Rows are items of a history, columns candidates, in float64."""
    if weights.items is None:
        return weights.weights.double().cpu().numpy()
    size, many = weights.items.shape
    columns = np.repeat(np.arange(size), many)
    rows = weights.items.cpu().numpy().ravel()
    values = weights.weights.double().cpu().numpy().ravel()
    return sparse.csr_matrix((values, (rows, columns)), shape=(size, size))
