"""The Pareto front: what nothing else beats in every respect at once."""

from __future__ import annotations

import numpy as np


def efficient(points: np.ndarray) -> np.ndarray:
    """(n, d) values, higher is better -> (n,) bool: no other point is at least as good in all and better in one.

    Equal points stand or fall together.
    """
    at_least = np.all(points[None] >= points[:, None], axis=2)  # (n, n): of a point (row), who matches it
    above = np.any(points[None] > points[:, None], axis=2)
    return np.asarray(~np.any(at_least & above, axis=1))


def pareto_front(points: np.ndarray) -> list[int]:
    """The places of the efficient points of (n, d), the best in the first value first; of equal ones the first."""
    kept = np.flatnonzero(efficient(points))
    _, firsts = np.unique(points[kept], axis=0, return_index=True)
    return [int(kept[i]) for i in firsts[::-1]]
