"""How sure a mean over users and seeds is: standard errors, widened intervals, tests, equivalence and power.

Users and seeds are crossed and both are samples: of the users one could have asked, and of the luck training could
have had. The variance of a mean over U users and S seeds is therefore estimated from three mean squares, as in a
two-way random-effects analysis of variance (Searle, Casella and McCulloch 1992, ch. 4)::

    V = V_users + max(0, V_seeds - V_rest)

``V_users`` is the variance between users of their means over seeds, over U; ``V_seeds`` the variance between seeds of
their means over users, over S; ``V_rest``, what neither explains, is in both and so is taken off once. Three seeds are
few: Satterthwaite's degrees of freedom (1946) make the interval as wide as they ask for. Of two seeds on one side and
no second on the other ``V_seeds`` is often 0 by chance, so there it is the larger of the two mean squares, whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

ALPHA, POWER = 0.05, 0.8


class Error(NamedTuple):
    """Uncertainty of a mean, per column: ``users`` and ``seeds`` are variances, ``df`` the degrees of freedom."""

    users: np.ndarray
    seeds: np.ndarray
    df: np.ndarray

    @property
    def standard(self) -> np.ndarray:
        """(columns,) standard error."""
        return np.asarray(np.sqrt(self.users + self.seeds))

    def quantile(self, level: float = 1 - ALPHA / 2) -> np.ndarray:
        """(columns,) of Student's t."""
        return np.asarray(stats.t.ppf(level, self.df))


def error_of(per_user: np.ndarray, arms: Sequence[np.ndarray], alone: Sequence[bool]) -> Error:
    """The error of the mean over users of ``per_user`` (U, columns).

    ``arms`` are the contenders it is made of, each (seeds, U, columns): one for a mean, two for a difference. An arm of
    one seed borrows the variance of the other's seeds, unless nothing about it is luck (``alone``: a method without
    training). Where no arm has two seeds the luck of training is unknown, and the error is that of the users alone.
    """
    users, columns = per_user.shape
    if users < 2:
        nothing = np.full(columns, np.nan)
        return Error(nothing, nothing, nothing)
    of_users = per_user.var(axis=0, ddof=1) / users
    luck, weight = [a for a in arms if len(a) > 1], sum(1 / len(a) for a, x in zip(arms, alone, strict=True) if not x)
    df = sum(len(a) - 1 for a in luck)
    if not df:
        return Error(of_users, np.zeros(columns), np.full(columns, users - 1.0))
    between = sum((len(a) - 1) * a.mean(axis=1).var(axis=0, ddof=1) for a in luck) / df
    rest = sum((len(a) - 1) * _rest(a) for a in luck) / df
    if df == 1:  # one pair of seeds alone: luck could hide, so none of it is taken off
        between = of_seeds = np.maximum(between, rest) * weight
    else:
        of_seeds = np.maximum(0.0, (between - rest) * weight)
        between = between * weight
    uncertain = of_users**2 / (users - 1) + np.where(of_seeds > 0, between**2 / df, 0.0)
    whole = (of_users + of_seeds) ** 2
    freedom = np.divide(whole, uncertain, out=np.full(columns, users - 1.0), where=uncertain > 0)
    # A sum of variances has at least the degrees of its weakest part. The approximation does not know that of a
    # difference: where V_seeds is hardly more than V_rest it would fall below 1, and the interval would be endless.
    return Error(of_users, of_seeds, np.maximum(freedom, min(df, users - 1)))


def _rest(arm: np.ndarray) -> np.ndarray:
    """(columns,) mean square of what neither user nor seed explains, over the number of users."""
    seeds, users = arm.shape[:2]
    left = arm - arm.mean(axis=1, keepdims=True) - arm.mean(axis=0, keepdims=True) + arm.mean(axis=(0, 1))
    return np.asarray((left**2).sum(axis=(0, 1)) / ((seeds - 1) * (users - 1)) / users)


def widen(
    mean: np.ndarray, low: np.ndarray, high: np.ndarray, error: Error, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """A bootstrap interval over users, made wider on both sides by what the seeds add."""
    tail = (1 + level) / 2
    wide, narrow = error.quantile(tail) * error.standard, stats.norm.ppf(tail) * np.sqrt(error.users)
    factor = np.divide(wide, narrow, out=np.ones_like(wide), where=(narrow > 0) & (error.seeds > 0))
    lockstep = (narrow == 0) & (error.seeds > 0)  # every user moved alike, and yet the seeds differ
    below = np.where(lockstep, wide, (mean - low) * factor)
    above = np.where(lockstep, wide, (high - mean) * factor)
    return mean - below, mean + above


def t_test(mean: np.ndarray, error: Error) -> np.ndarray:
    """(columns,) two-sided p of a mean of zero over users and seeds; 1 where nothing varies."""
    t = np.divide(np.abs(mean), error.standard, out=np.zeros_like(mean), where=error.standard > 0)
    return np.asarray(2 * stats.t.sf(t, error.df))


def bound(mean: np.ndarray, error: Error) -> np.ndarray:
    """(columns,) the smallest margin within which two one-sided tests (Schuirmann 1987) place the true mean at 5%."""
    return np.asarray(np.abs(mean) + error.quantile(1 - ALPHA) * error.standard)


def detectable(error: Error) -> np.ndarray:
    """(columns,) the true difference that a test at 5% would show four times in five, with this error."""
    return np.asarray((error.quantile() + error.quantile(POWER)) * error.standard)


def users_needed(difference: float, users: int, error_users: float, error_seeds: float = 0.0) -> float:
    """How many users would show ``difference`` four times in five, at the spread seen among ``users``.

    The errors are standard errors. Infinite where the luck of training alone hides a difference of that size: then
    more seeds help, and more users do not.
    """
    if difference == 0:
        return float("inf")
    reach = float(stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER))
    left = (difference / reach) ** 2 - error_seeds**2
    return float(np.ceil(users * error_users**2 / left)) if left > 0 else float("inf")
