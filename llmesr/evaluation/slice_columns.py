"""Slices by what one column says of the evaluated targets: values, bands of numbers, entries of lists, and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.data.groups import quantile_buckets
from llmesr.data.split import Part
from llmesr.evaluation.table import Group

FEWEST = 30
"""Targets a slice must have to be listed; in a search, in each half."""
MOST_VALUES = 40
"""Values of one column that are listed, the most frequent ones."""
COVERED = 0.2
"""The least share of targets with a listed value of a column: titles, of which no two are alike, have less."""
SEPARATOR = "; "


def target_times(dataset: Dataset, rows: pd.DataFrame, part: Part = "test") -> np.ndarray | None:
    """(R,) seconds at which the targets of ``rows`` were chosen; None for a dataset that knows only an order."""
    if not dataset.has_times or dataset.timestamps is None:
        return None
    split, window = dataset.split, dataset.split.windows[part]
    users = split.users(part)
    many = (window.end - window.begin)[users]
    who = np.repeat(users, many)
    at = split.offsets[who] + window.begin[who] + np.arange(len(who)) - np.repeat(np.cumsum(many) - many, many)
    wide = dataset.n_items + 1
    known, first = np.unique(who * wide + split.items[at], return_index=True)  # of an item chosen again the first time
    asked = rows["user"].to_numpy() * wide + rows["target"].to_numpy()
    return np.asarray(dataset.timestamps[at[first[np.searchsorted(known, asked)]]])


def column_slices(name: str, values: pd.Series, fewest: int = FEWEST) -> list[Group]:
    """The slices by one column, ``values`` (R,) of the targets; none where hardly two targets agree in it."""
    cells = np.array(["" if pd.isna(v) else _written(v) for v in values], dtype=object)
    known = cells != ""
    numbers = read_numbers(pd.Series(cells[known]))
    if known.mean() >= COVERED and np.isfinite(numbers).all() and len(np.unique(numbers)) > MOST_VALUES:
        return bands(name, numbers, known)
    pairs = [(row, entry) for row, cell in enumerate(cells) for entry in set(cell.split(SEPARATOR)) if entry]
    entries = pd.DataFrame(pairs, columns=["row", "value"])
    often = entries["value"].value_counts()
    listed = entries[entries["value"].isin(often[often >= fewest].index[:MOST_VALUES])]
    if listed["row"].nunique() < COVERED * len(cells):
        return []
    return [Group(name, str(value), _mask(at.to_numpy(), len(cells))) for value, at in listed.groupby("value")["row"]]


def read_numbers(values: pd.Series) -> np.ndarray:
    """(R,) float of ``values``, with or without a sign of currency before them; NaN where there is no number."""
    bare = values.astype(str).str.replace(r"^[$€£]\s*", "", regex=True)
    return np.array(pd.to_numeric(bare, errors="coerce"), float)


def _written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:g}"


def date_of(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).date().isoformat()


def bands(name: str, numbers: np.ndarray, known: np.ndarray, written: Callable[[float], str] = _number) -> list[Group]:
    """Bands of similar size of ``numbers`` (K,), which the rows in ``known`` (R,) bool have; their ends as
    ``written``."""
    band, labels = quantile_buckets(numbers)
    at = np.flatnonzero(known)
    ends = [(numbers[band == b].min(), numbers[band == b].max()) for b in range(len(labels))]
    names = [f"{written(low)} to {written(high)}" for low, high in ends]
    return [Group(name, said, _mask(at[band == b], len(known))) for b, said in enumerate(names)]


def _mask(rows: np.ndarray, size: int) -> np.ndarray:
    members = np.zeros(size, bool)
    members[rows] = True
    return members
