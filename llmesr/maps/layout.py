"""UMAP's layout: the graph is umap-learn's, the optimiser is our own.

umap-learn's optimiser spends most of its time in ``pow`` and in a random generator per vertex. Here the two force
curves are tabulated over the squared distance (128 steps per octave, an error below half a percent of a step that is
random anyway), two dimensions are unrolled, and one generator serves all. The compiled code is kept on disk. It holds
no lock, so several maps can be laid out by several threads; each of them is deterministic.

Source: McInnes, Healy, Melville 2018 (arXiv 1802.03426), section 3.2 and algorithm 5.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numba
import numpy as np
from scipy.sparse import coo_matrix

from llmesr.progress import Progress, silent

_STEPS = 128  # table entries per octave of the squared distance
_LOW, _HIGH = -24, 14  # the octaves covered: 2**-24 .. 2**14
_CLIP = 4.0
_CHUNK = 10  # epochs between two reports of progress
_ONE_AT_A_TIME = threading.Lock()
"""umap-learn's graph uses numba's own threads, and entering those from two threads aborts the interpreter."""


def fuzzy_graph(neighbours: np.ndarray, distances: np.ndarray, seed: int) -> coo_matrix:
    """UMAP's weighted graph (n, n) from ``neighbours`` (n, k) without self and their ``distances`` (n, k)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import fuzzy_simplicial_set
    n, k = neighbours.shape
    own = np.arange(n, dtype=neighbours.dtype)[:, None]
    # umap-learn counts a point as its own first neighbour.
    indices = np.ascontiguousarray(np.hstack([own, neighbours]))
    lengths = np.ascontiguousarray(np.hstack([np.zeros((n, 1)), distances]), np.float32)
    with _ONE_AT_A_TIME:
        graph, _, _ = fuzzy_simplicial_set(
            np.zeros((n, 1), np.float32),
            k + 1,
            np.random.RandomState(seed),
            "precomputed",
            knn_indices=indices,
            knn_dists=lengths,
        )
    return graph.tocoo()


def optimise(
    graph: coo_matrix,
    start: np.ndarray,
    *,
    epochs: int,
    min_dist: float,
    seed: int,
    negatives: int = 5,
    progress: Progress = silent,
    stage: str = "laying out",
) -> np.ndarray:
    """Move ``start`` (n, 2) along the forces of ``graph`` (n, n) -> (n, 2) float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import find_ab_params
    a, b = find_ab_params(1.0, min_dist)
    attract, repel = force_tables(a, b)
    keep = graph.data >= graph.data.max() / max(epochs, 1) if graph.nnz else np.zeros(0, bool)
    head, tail = graph.row[keep].astype(np.int32), graph.col[keep].astype(np.int32)
    every = (graph.data.max() / graph.data[keep]).astype(np.float32) if keep.any() else np.zeros(0, np.float32)
    points = np.ascontiguousarray(start, np.float32).copy()
    due, due_negative = every.copy(), every / negatives
    state = np.array([np.uint64(seed) * np.uint64(2) + np.uint64(0x9E3779B97F4A7C15)], np.uint64)
    for first in range(0, epochs, _CHUNK):
        last = min(first + _CHUNK, epochs)
        _run(points, head, tail, every, due, due_negative, attract, repel, first, last, epochs, negatives, state)
        progress(stage, last, epochs)
    return points


def force_tables(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """The attractive and repulsive coefficients of UMAP's gradient, by bin of the squared distance."""
    index = np.arange((_HIGH - _LOW) * _STEPS)
    octave, step = index // _STEPS + _LOW, index % _STEPS
    squared = 2.0**octave * (1 + (step + 0.5) / _STEPS)  # (bins,)
    attract = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b)
    repel = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
    return attract.astype(np.float32), repel.astype(np.float32)


@numba.njit(inline="always")
def _bin(squared: Any) -> Any:
    """The table entry of a positive squared distance: exponent and first mantissa bits of the float32."""
    bits = np.float32(squared).view(np.int32)
    entry = (bits >> 16) - ((127 + _LOW) << 7)
    return min(max(entry, 0), (_HIGH - _LOW) * _STEPS - 1)


@numba.njit(inline="always")
def _clipped(value: Any) -> Any:
    return min(max(value, np.float32(-_CLIP)), np.float32(_CLIP))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _run(
    points: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    every: np.ndarray,
    due: np.ndarray,
    due_negative: np.ndarray,
    attract: np.ndarray,
    repel: np.ndarray,
    first: int,
    last: int,
    epochs: int,
    negatives: int,
    state: np.ndarray,
) -> None:
    n = np.uint64(len(points))
    random = state[0]
    for epoch in range(first, last):
        rate = np.float32(1.0 - epoch / epochs)
        for e in range(len(head)):
            if due[e] > epoch:
                continue
            i, j = head[e], tail[e]
            x, y = points[i, 0], points[i, 1]
            dx, dy = x - points[j, 0], y - points[j, 1]
            squared = dx * dx + dy * dy
            if squared > 0:
                pull = attract[_bin(squared)]
                gx, gy = _clipped(pull * dx) * rate, _clipped(pull * dy) * rate
                x += gx
                y += gy
                points[j, 0] -= gx
                points[j, 1] -= gy
            due[e] += every[e]
            gap = every[e] / np.float32(negatives)
            draws = int((epoch - due_negative[e]) / gap)
            for _ in range(draws):
                random ^= random << np.uint64(13)
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                other = np.int64(((random >> np.uint64(32)) * n) >> np.uint64(32))
                if other == i:
                    continue
                dx, dy = x - points[other, 0], y - points[other, 1]
                squared = dx * dx + dy * dy
                if squared > 0:
                    push = repel[_bin(squared)]
                    x += _clipped(push * dx) * rate
                    y += _clipped(push * dy) * rate
            due_negative[e] += draws * gap
            points[i, 0], points[i, 1] = x, y
    state[0] = random
