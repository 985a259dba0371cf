"""Vectors that are near to others of their own."""

from __future__ import annotations

import numpy as np


def clustered(many: int) -> np.ndarray:
    """(many, 24) in fifty clusters, some rows zero, two the same."""
    rng = np.random.default_rng(0)
    rows: np.ndarray = rng.normal(size=(50, 24))[rng.integers(0, 50, many)] + 0.5 * rng.normal(size=(many, 24))
    rows[[5, 77]] = 0
    rows[11] = rows[10]
    return rows
