"""How far a picture can be trusted, and where two spaces disagree. Both look at the ORIGINAL spaces."""

from __future__ import annotations

import numpy as np

from llmesr.data.unit_rows import unit_rows

SAMPLE = 2000
_BLOCK = 64


def gap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 - the share of common neighbours: (n,) between 0 (same neighbourhood) and 1 (nothing shared).

    ``first`` and ``second`` (n, k) are the neighbours of the same n points in two spaces, -1 where there is none. The
    share is of the smaller number of neighbours; NaN where a point has none in either space.
    """
    if len(first) != len(second):
        raise ValueError(f"the two spaces hold {len(first)} and {len(second)} points")
    result = np.full(len(first), np.nan)
    for start in range(0, len(first), 65_536):
        a, b = first[start : start + 65_536], second[start : start + 65_536]
        common = ((a[:, :, None] == b[:, None, :]) & (a >= 0)[:, :, None]).sum(axis=(1, 2))
        size = np.minimum((a >= 0).sum(axis=1), (b >= 0).sum(axis=1))
        some = size > 0
        result[start : start + 65_536][some] = 1 - common[some] / size[some]
    return result


def trustworthiness(
    vectors: np.ndarray, points: np.ndarray, k: int = 15, *, sample: int = SAMPLE, seed: int = 0
) -> float:
    """Venna and Kaski's trustworthiness in 0..1: are neighbours in the picture neighbours in the space?

    ``vectors`` (n, E) are compared by cosine, ``points`` (n, 2) by distance. For the ``sample`` drawn points every one
    of the n others is ranked; with ``sample`` >= n the value is the definition's own. Rows without a vector or a
    place in the picture are left out. NaN when fewer than 2 k + 2 remain.
    """
    drawn = np.flatnonzero(np.asarray(vectors).any(axis=1) & np.isfinite(points).all(axis=1))
    n = len(drawn)
    if n < 2 * k + 2:
        return float("nan")
    units, points = unit_rows(vectors[drawn]), np.ascontiguousarray(points[drawn], np.float32)
    rng = np.random.default_rng(seed)
    chosen = np.arange(n) if sample >= n else np.sort(rng.choice(n, sample, replace=False))
    squares = (points**2).sum(axis=1)
    penalty = 0
    for start in range(0, len(chosen), _BLOCK):
        rows = chosen[start : start + _BLOCK]
        own = (np.arange(len(rows)), rows)
        flat = squares - 2 * points[rows] @ points.T  # (b, n) squared distance up to a constant per row
        flat[own] = np.inf
        near = np.argpartition(flat, k, axis=1)[:, :k]  # (b, k)
        distance = -(units[rows] @ units.T)  # (b, n)
        distance[own] = -np.inf  # rank 0
        ranks = _ranks(distance, near)
        penalty += int(np.maximum(ranks - k, 0).sum())
    return 1 - 2 / (len(chosen) * k * (2 * n - 3 * k - 1)) * penalty


def _ranks(distance: np.ndarray, near: np.ndarray) -> np.ndarray:
    """For each of ``near`` (b, k): how many columns of ``distance`` (b, n) are strictly closer."""
    order = np.sort(distance, axis=1)
    wanted = np.take_along_axis(distance, near, axis=1)
    return np.stack([np.searchsorted(o, w) for o, w in zip(order, wanted, strict=True)])
