"""How unequally a recommender serves segments of users: the best served against the worst served one of a column.

Which segments are best and worst is decided on one random half of the users, and how far they are apart is measured on
the other, so that a gap is none of having looked for the largest (data splitting, as in :mod:`evaluation.slices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llmesr.evaluation.resampling import FLIPS, RESAMPLES, adjust, bootstrap_means
from llmesr.evaluation.slice_columns import FEWEST
from llmesr.evaluation.statistics import SIGNIFICANT
from llmesr.evaluation.table import Group

LENGTHS = "history length"
OF_USERS = "user "
"""How the dimension of a slice by a column of users begins."""


class Disparity(NamedTuple):
    """The best and the worst served segment of a column of users.

    ``best_value``, ``worst_value`` and ``difference`` are means of the half of the users that did not choose the two,
    ``low`` and ``high`` bound the difference (95%, bootstrap over users), ``p`` is one-sided (permutation).
    """

    column: str
    best: str
    worst: str
    best_users: int
    worst_users: int
    best_value: float
    worst_value: float
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float

    @property
    def confirmed(self) -> bool:
        """Whether the gap is more than chance, after correction for all columns."""
        return self.p_adjusted < SIGNIFICANT


def disparities(
    values: np.ndarray, groups: Sequence[Group], users: np.ndarray, *, fewest: int = FEWEST, seed: int = 0
) -> list[Disparity]:
    """The gap of every column of users that has two segments large enough, the surest first.

    ``values`` (R,) of targets, ``groups`` their slices, ``users`` (R,) whose they are; a user counts once, with the
    mean of the targets. Both segments must hold ``fewest`` users in each half. p is corrected over the columns.
    """
    _, owner = np.unique(users, return_inverse=True)
    count = int(owner.max(initial=-1)) + 1
    own = np.bincount(owner, weights=values, minlength=count) / np.bincount(owner, minlength=count)
    rng = np.random.default_rng(seed)
    explore = rng.permutation(count) < count // 2
    found: list[Disparity] = []
    for column in dict.fromkeys(
        g.dimension for g in groups if g.dimension == LENGTHS or g.dimension.startswith(OF_USERS)
    ):
        segments = {g.name: np.bincount(owner[g.members], minlength=count) > 0 for g in groups if g.dimension == column}
        if pair := _chosen(own, segments, explore, fewest):
            found.append(_measured(column, pair, own, segments, ~explore, rng))
    corrected = adjust(np.array([f.p for f in found])) if found else ()
    judged = [f._replace(p_adjusted=float(p)) for f, p in zip(found, corrected, strict=True)]
    return sorted(judged, key=lambda f: (f.p, -f.difference))


def _chosen(
    own: np.ndarray, segments: dict[str, np.ndarray], explore: np.ndarray, fewest: int
) -> tuple[str, str] | None:
    """The best and the worst served segment of one half; None where fewer than two are large enough in both."""
    large = {n: m for n, m in segments.items() if min((m & explore).sum(), (m & ~explore).sum()) >= fewest}
    if len(large) < 2:
        return None
    means = {name: float(own[members & explore].mean()) for name, members in large.items()}
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return None if best == worst else (best, worst)


def _measured(
    column: str,
    pair: tuple[str, str],
    own: np.ndarray,
    segments: dict[str, np.ndarray],
    confirm: np.ndarray,
    rng: np.random.Generator,
) -> Disparity:
    """The two segments in the half that did not choose them; who is in both is in neither."""
    first, second = (segments[name] & confirm for name in pair)
    a, b = own[first & ~second], own[second & ~first]
    draws = bootstrap_means(a[:, None], RESAMPLES, 0)[:, 0] - bootstrap_means(b[:, None], RESAMPLES, 1)[:, 0]
    low, high = np.quantile(draws, [0.025, 0.975])
    difference = float(a.mean() - b.mean())
    p = _permuted(a, b, rng)
    return Disparity(
        column, *pair, len(a), len(b), float(a.mean()), float(b.mean()), difference, float(low), float(high), p, p
    )


def _permuted(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> float:
    """One-sided p that the mean of ``a`` is higher than that of ``b`` by chance: which user is in which is shuffled."""
    both, reached = np.concatenate([a, b]), 0
    observed = a.sum()
    step = max(1, 2**21 // len(both))
    for start in range(0, FLIPS, step):
        block = np.tile(both, (min(step, FLIPS - start), 1))
        reached += int((rng.permuted(block, axis=1)[:, : len(a)].sum(axis=1) >= observed - 1e-9).sum())
    return (reached + 1) / (FLIPS + 1)
