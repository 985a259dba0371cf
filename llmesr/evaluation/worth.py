"""What hits are worth: metrics in which a held-out item weighs as much as its price or margin.

The value-weighted hit rate is the summed price of the held-out items that are found, divided by that of all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmesr.evaluation.resampling import adjust, intervals, sign_flip_test
from llmesr.evaluation.slice_columns import COVERED, read_numbers
from llmesr.evaluation.slices import target_values
from llmesr.evaluation.statistics import SIGNIFICANT
from llmesr.evaluation.table import in_order, select
from llmesr.evaluation.values import Contenders

MONEY = re.compile(r"price|margin|profit|revenue|preis|marge|prix", re.IGNORECASE)
"""What a column of amounts is called; a number alone may be a year."""


def amounts(items: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns of ``items`` (the catalogue, row i for item i + 1) that hold amounts of money: name -> (N,), NaN where
    an item has none. Amounts that are not above 0 count as none."""
    found = {}
    for column in items.columns.drop("item_id"):
        if MONEY.search(column):
            numbers = read_numbers(items[column])
            numbers[~(numbers > 0)] = np.nan
            if np.isfinite(numbers).mean() >= COVERED:
                found[str(column)] = numbers
    return found


def worth(
    contenders: Contenders,
    baseline: str,
    amount: np.ndarray,
    *,
    metric: str = "HR@10",
    protocol: str = "full",
    part: str = "test",
) -> pd.DataFrame:
    """A row per contender: run, plain (the metric over the same targets), weighted (each target weighing
    ``amount`` (N,) of its item) with low and high (95%, over users), difference to ``baseline`` with difference_low and
    difference_high, p (sign flips) and p_adjusted (Benjamini-Hochberg over the contenders), significant, targets (with
    an amount) and share (of all targets).

    A user of several targets counts as a whole.
    """
    rows = in_order(select(next(iter(contenders.values()))[0], protocol, part))
    weights = amount[rows["target"].to_numpy() - 1]
    known = np.isfinite(weights)
    _, owner = np.unique(rows["user"].to_numpy()[known], return_inverse=True)
    heavy = _sums(weights[known], owner)
    values = {name: target_values(frames, metric, protocol, part)[known] for name, frames in contenders.items()}
    own = {name: _linear(_sums(weights[known] * v, owner), heavy) for name, v in values.items()}  # (U,) each
    others = [name for name in contenders if name != baseline]
    low, high = np.clip(intervals(np.stack(list(own.values()), axis=1)), 0.0, 1.0)
    table = pd.DataFrame(
        {
            "run": list(own),
            "plain": [float(v.mean()) for v in values.values()],
            "weighted": [float(v.mean()) for v in own.values()],
            "low": low,
            "high": high,
            "targets": int(known.sum()),
            "share": float(known.mean()),
        }
    )
    return table.merge(_against(own, baseline, others), on="run", how="left")


def _sums(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    return np.bincount(owner, weights=values)


def _linear(found: np.ndarray, heavy: np.ndarray) -> np.ndarray:
    """(U,) what each user adds to the ratio of the sums of ``found`` and ``heavy`` (U,): their mean is the ratio, and
    varies from sample to sample as the ratio does, to the first order (Cochran 1977, "Sampling techniques", 2.11)."""
    ratio = found.sum() / heavy.sum()
    return np.asarray(ratio + (found - ratio * heavy) / heavy.mean())


def _against(own: dict[str, np.ndarray], baseline: str, others: Sequence[str]) -> pd.DataFrame:
    columns = ["run", "difference", "difference_low", "difference_high", "p", "p_adjusted", "significant"]
    if not others:
        return pd.DataFrame(columns=columns)
    moved = np.stack([own[name] - own[baseline] for name in others], axis=1)
    low, high = intervals(moved, differences=True)
    p = sign_flip_test(moved)
    corrected = adjust(p)
    return pd.DataFrame(
        dict(zip(columns, (others, moved.mean(axis=0), low, high, p, corrected, corrected < SIGNIFICANT), strict=True))
    )
