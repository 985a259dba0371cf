"""Bootstrap intervals and sign-flip tests for many columns of per-user values at once.

One set of resamples serves every column, whatever the number of runs, metrics and groups; memory is bounded by blocks.
How often a resample draws a row, and which sign a permutation gives it, depend on the seed and the row's place alone:
interval and test of a column are the same whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import sparse, stats
from scipy.special import ndtr, ndtri

RESAMPLES = 2000
FLIPS = 9999
_POISSON_FROM = 1000
_POISSON = stats.poisson.ppf((np.arange(2**16) + 0.5) / 2**16, 1).astype(np.float32)
"""A Poisson(1) number for each of 65,536 equally likely random words."""
_BLOCK = 2**23
"""Cells of the resampling matrix held at once (32 MB of float32)."""
_ROWS = 1024
"""Rows whose Poisson numbers or flips are held at once (8 MB of float32 at 2,000 resamples, 41 MB at 9,999)."""


def bootstrap_means(values: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Means of ``resamples`` samples with replacement from the rows of ``values`` (n, columns).

    Returns (resamples, columns). From 1,000 rows on, each row is drawn Poisson(1) times and the sum divided by
    the number drawn (Chamandy et al. 2012): several times faster, and the same interval at that size. Of rows
    that are zero in every column (users nobody served) only how often they are drawn in all is worked out.
    """
    n, columns = values.shape
    if n < _POISSON_FROM:
        return _drawn_by_number(values, resamples, np.random.default_rng(seed))
    sums = np.zeros((columns, resamples))
    for start in range(0, n, _ROWS):  # by place and not by number: what is added first must not depend on others
        block = values[start : start + _ROWS]
        active = np.flatnonzero(block.any(axis=1))
        if len(active):  # a sparse product adds row after row to each column; BLAS would add in an order of its own
            own = sparse.csr_matrix(block[active].T.astype(np.float32))
            sums += own @ _poisson(start + active, resamples, seed)
    return np.asarray((sums / _drawn(n, resamples, seed)).T)


def _drawn_by_number(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The textbook bootstrap: of n rows a sample draws n."""
    n = len(values)
    means = np.zeros((resamples, values.shape[1]))
    for rows in _blocks(resamples, n) if n else ():
        count = rows.stop - rows.start
        cells = rng.integers(0, n, (count, n)) + (np.arange(count) * n)[:, None]
        weights = np.bincount(cells.ravel(), minlength=count * n).reshape(count, n)
        means[rows] = weights.astype(np.float64) @ values / n
    return means


def _poisson(rows: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(rows, resamples) how often each resample draws each of ``rows`` (rising)."""
    words = _words(rows, -(-resamples // 4), seed)  # four numbers from each 64 bits
    return np.asarray(_POISSON.take(words.view(np.uint16)[:, :resamples]))


def _flips(rows: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(rows, resamples) 1 where the sign of one of ``rows`` (rising) is turned, else 0."""
    words = _words(rows, -(-resamples // 64), seed)
    return np.unpackbits(words.view(np.uint8), axis=1, count=resamples).astype(np.float32)


def _words(rows: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """(rows, steps) random words: a stretch of one stream for each of ``rows`` (rising)."""
    source, at = np.random.PCG64(seed), 0
    words = np.empty((len(rows), steps), np.uint64)
    for place, row in enumerate(rows.tolist()):
        source.advance((row - at) * steps)
        words[place] = source.random_raw(steps)
        at = row + 1
    return words


def _drawn(n: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples,) how many rows each draws of the first ``n``."""
    whole = n // _ROWS
    total = _poisson(np.arange(whole * _ROWS, n), resamples, seed).sum(axis=0).astype(np.int64)
    for block in range(whole):
        total += _drawn_of(block, resamples, seed)
    return np.asarray(total)


@lru_cache(maxsize=2048)
def _drawn_of(block: int, resamples: int, seed: int) -> np.ndarray:
    """The same of a block of rows; those of two million are kept (8 MB), as each group and table asks again."""
    rows = np.arange(block * _ROWS, (block + 1) * _ROWS)
    return np.asarray(_poisson(rows, resamples, seed).sum(axis=0).astype(np.int16))


def intervals(
    values: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    differences: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """BCa bootstrap interval (Efron 1987) of the mean of each column of ``values`` (n, columns).

    Returns low and high, (columns,) each; NaN when n is 0. Where all values of a column are equal a bootstrap
    would claim certainty; if they are all 0 or all 1 the exact binomial bound is given instead, on both sides of 0
    where they are ``differences`` of what lies between 0 and 1; NaN for one value of another kind.
    """
    n, columns = values.shape
    if n == 0:
        return np.full(columns, np.nan), np.full(columns, np.nan)
    mean = values.mean(axis=0)
    draws = np.sort(bootstrap_means(values, resamples, seed), axis=0)
    low, high = np.empty(columns), np.empty(columns)
    centred = values - mean
    square = (centred**2).sum(axis=0)
    tail = (1 - level) / 2
    for c in range(columns):
        if np.ptp(values[:, c]) == 0:
            low[c], high[c] = _constant(float(values[0, c]), n, tail, differences)
            continue
        tolerance = 1e-6 * max(abs(mean[c]), np.sqrt(square[c]) / n)
        below = np.searchsorted(draws[:, c], mean[c] - tolerance)
        until = np.searchsorted(draws[:, c], mean[c] + tolerance)
        bias = ndtri(np.clip((below + until) / 2 / resamples, 1 / resamples, 1 - 1 / resamples))
        skew = (centred[:, c] ** 3).sum() / (6 * square[c] ** 1.5)
        z = bias + ndtri(np.array([tail, 1 - tail]))
        low[c], high[c] = np.quantile(draws[:, c], ndtr(bias + z / (1 - skew * z)))
    return low, high


def _constant(value: float, n: int, tail: float, differences: bool) -> tuple[float, float]:
    bound = tail ** (1 / n)  # Clopper-Pearson when all n agree
    if value == 0:
        return (bound - 1 if differences else 0.0), 1 - bound
    if value == 1 and not differences:
        return bound, 1.0
    return (value, value) if n > 1 else (np.nan, np.nan)


def sign_flip_test(differences: np.ndarray, *, resamples: int = FLIPS, seed: int = 0) -> np.ndarray:
    """Paired permutation test: two-sided p per column of ``differences`` (n, columns).

    Under the hypothesis of no difference each user's difference is as likely with the other sign. The observed
    assignment counts as one of the permutations, so p is never 0 and the test is valid at every size.
    """
    n, columns = differences.shape
    observed = differences.sum(axis=0, dtype=np.float64)
    turned = np.zeros((resamples, columns))
    for start in range(0, n, _ROWS):
        block = differences[start : start + _ROWS]
        active = np.flatnonzero(block.any(axis=1))
        if len(active):
            turned += _flips(start + active, resamples, seed).T @ block[active].astype(np.float32)
    least = np.abs(observed) - 1e-5 * np.maximum(np.abs(observed), np.abs(differences).max(axis=0, initial=0.0))
    extreme = (np.abs(observed - 2 * turned) >= least).sum(axis=0)  # a little less will do: the sums are of float32
    return np.asarray((extreme + 1) / (resamples + 1))


def wilcoxon_test(differences: np.ndarray) -> np.ndarray:
    """Wilcoxon signed-rank test: two-sided p per column of ``differences`` (n, columns); 1 where all are zero."""
    p = np.ones(differences.shape[1])
    for c, column in enumerate(differences.T):
        moved = column[column != 0]
        if len(moved):
            tied = len(np.unique(np.abs(moved))) < len(moved)  # the exact distribution is known without ties only
            p[c] = stats.wilcoxon(moved, method="asymptotic" if tied or len(moved) > 50 else "exact").pvalue
    return p


def adjust(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg over all ``p``; NaN (no test was possible) stays NaN and does not count as a test."""
    adjusted = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p[tested], method="bh")
    return adjusted


def _blocks(resamples: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    for start in range(0, resamples, step):
        yield slice(start, min(start + step, resamples))
