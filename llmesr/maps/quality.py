"""How far a picture can be trusted, and where two spaces disagree. Both look at the ORIGINAL spaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmesr.data.unit_rows import unit_rows

SAMPLE = 2000
KS = (1, 5, 15)
"""Numbers of nearest neighbours over which the gap is averaged."""
REFERENCE = 512
"""Points among which the gap counts who is closer."""
CHANCE = 0.5
"""The gap where the neighbours of one space are no nearer in the other than points drawn at random."""
POOR = 0.45
"""The mean gap from which on two spaces have next to nothing in common."""
_BLOCK = 64
_WIDE = 256
_ALIKE = 1e-6


def gap(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    ks: Sequence[int] = KS,
    sample: int = REFERENCE,
    seed: int = 0,
) -> np.ndarray:
    """How far down one space the nearest neighbours of the other are: (n,) from 0 (the same neighbours) over
    :data:`CHANCE` (no nearer than items drawn at random) upwards.

    Each space is its vectors (n, E) and its neighbours (n, k), nearest first, -1 where there is none. Of a point, the
    percentile of each of its neighbours is found in the OTHER space: the share of the other points that are closer
    there by cosine, those as close counting half. Percentiles are averaged over the first k neighbours, less what the
    same neighbours would have (of k among n that is (k - 1) / (2 (n - 2))) and scaled so that chance stays where it is;
    then over ``ks``, and both directions. Shares are of ``sample`` points drawn once; with ``sample`` >= n of all. NaN
    where a point, or every neighbour of it, has no vector in the other space.
    """
    if len(first[0]) != len(second[0]):
        raise ValueError(f"the two spaces hold {len(first[0])} and {len(second[0])} points")
    known = np.asarray(first[0].any(axis=1) & second[0].any(axis=1))
    rng = np.random.default_rng(seed)
    there = np.flatnonzero(known)
    drawn = there if sample >= len(there) else np.sort(rng.choice(there, sample, replace=False))
    result = np.full(len(known), np.nan)
    if len(there) > 2:
        ways = [
            _depth(near[there], unit_rows(other), there, known, drawn, ks) for near, other in _crossed(first, second)
        ]
        result[there] = np.mean(ways, axis=0)
    return result


def _crossed(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The neighbours of each space with the vectors of the other."""
    return [(first[1], second[0]), (second[1], first[0])]


def _depth(
    near: np.ndarray, units: np.ndarray, rows: np.ndarray, known: np.ndarray, drawn: np.ndarray, ks: Sequence[int]
) -> np.ndarray:
    """(m,) the mean percentile among ``drawn`` (R,), by ``units`` (n, E), of the neighbours ``near`` (m, k) of
    ``rows`` (m,)."""
    near = near[:, : max(ks)]
    percentile = np.full(near.shape, np.nan)
    for start in range(0, len(rows), _WIDE):
        own, wanted = rows[start : start + _WIDE], near[start : start + _WIDE]
        others = units[own] @ units[drawn].T  # (b, R)
        close = np.einsum("be,bke->bk", units[own], units[np.maximum(wanted, 0)])  # (b, k)
        counts = (drawn[None, None, :] != wanted[:, :, None]) & (drawn[None, :] != own[:, None])[:, None, :]
        lead = others[:, None, :] - close[:, :, None]  # (b, k, R)
        closer = ((lead > _ALIKE) + 0.5 * (np.abs(lead) <= _ALIKE)) * counts
        share = closer.sum(axis=2) / np.maximum(counts.sum(axis=2), 1)
        percentile[start : start + _WIDE] = np.where((wanted >= 0) & known[wanted], share, np.nan)
    there = np.isfinite(percentile)
    sums, sizes = np.nancumsum(percentile, axis=1), np.maximum(there.cumsum(axis=1), 1)
    at = np.array([min(k, near.shape[1], len(rows) - 2) - 1 for k in ks])
    same = at / (2 * (len(rows) - 2))  # what the k nearest of the space itself have
    apart = CHANCE * ((sums / sizes)[:, at] - same) / (CHANCE - same)
    return np.where(there.any(axis=1), np.maximum(apart, 0).mean(axis=1), np.nan)


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
