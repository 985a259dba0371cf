"""How the points of a map are coloured, and what is said when one is pointed at."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.maps.points import Pair, Points
from llmesr.maps.quality import CHANCE
from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.theme import Mode

ColourBy = Literal["group", "count", "category", "gap", "outcome"]
OTHER = "other"
UNKNOWN = ("nobody's held-out item", "not evaluated")
"""What points are called that have no outcome: items, users."""
_CATEGORIES = 8
CATEGORY_COLOURS: dict[Mode, tuple[str, ...]] = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#3c8dc4", "#7a3e9d", "#5f5f5f"),
    "dark": ("#56b4e9", "#ff8c42", "#2fd3a4", "#e79cc8", "#f0e442", "#4d8fd6", "#b98ae0", "#b5b5b5"),
}
_CATEGORY_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "pentagon", "x")


def hover_texts(points: Points, rows: np.ndarray, longest: int) -> np.ndarray:
    """Title and count of each row, escaped and cut to ``longest`` characters: an array of objects, which plotly takes
    over without looking at every one."""
    return np.asarray(_hover_texts(points, longest)[rows])


@functools.lru_cache(maxsize=16)
def _hover_texts(points: Points, longest: int) -> np.ndarray:
    """The texts of all points: every map of them, and every selection on it, shows the same."""
    texts = np.empty(len(points), object)
    texts[:] = [f"{plain(t, longest)}<br>{c:,} in training" for t, c in zip(points.titles, points.counts, strict=True)]
    return texts


@dataclass(frozen=True, eq=False)
class Colouring:
    """Colour by a few named groups (``names``), or by a number (``values``)."""

    title: str
    codes: np.ndarray | None = None  # (n,) index into names
    names: Sequence[str] = ()
    colours: Sequence[str] = ()
    symbols: Sequence[str] = ()
    values: np.ndarray | None = None  # (n,)
    ticks: tuple[Sequence[float], Sequence[str]] | None = None


def colouring(points: Points, pair: Pair, by: ColourBy, mode: Mode, attribute: str | None = None) -> Colouring:
    """How the points are coloured. ``by`` that is not to be had (no gap, no category) falls back to the groups."""
    if by == "count":
        return _by_count(points)
    if by == "gap" and pair.gap is not None:
        return Colouring(
            "Gap", values=pair.gap, ticks=([0, CHANCE / 2, CHANCE], ["0 same", f"{CHANCE / 2}", f"{CHANCE} chance"])
        )
    if by == "category" and attribute is not None and points.catalogue is not None:
        return _by_category(points.catalogue[attribute], attribute, mode)
    tail, head = points.groups
    return Colouring(
        "Group",
        codes=(~points.tail).astype(int),
        names=(tail, head),
        colours=(theme.group_color(tail, mode), theme.group_color(head, mode)),
        symbols=(theme.GROUP_SYMBOLS[tail], theme.GROUP_SYMBOLS[head]),
    )


def _by_count(points: Points) -> Colouring:
    most = int(points.counts.max(initial=1))
    steps = [0] + [10**i for i in range(len(str(most)))]
    title = "Popularity" if points.of == "items" else "History"
    values = np.log10(points.counts + 1.0)
    return Colouring(title, values=values, ticks=([float(np.log10(s + 1)) for s in steps], [f"{s:,}" for s in steps]))


def _by_category(column: pd.Series, attribute: str, mode: Mode) -> Colouring:
    shown = column.astype(str).str.strip().replace("", "none given")
    frequent = shown.value_counts().index[: _CATEGORIES - 1].tolist()
    rest = ~shown.isin(frequent)
    names = [*frequent, OTHER] if rest.any() else frequent
    codes = shown.map({name: i for i, name in enumerate(frequent)}).fillna(len(frequent)).to_numpy(int)
    palette = CATEGORY_COLOURS[mode]
    colours = [*palette[: len(frequent)], palette[-1]][: len(names)]
    symbols = [*_CATEGORY_SYMBOLS[: len(frequent)], _CATEGORY_SYMBOLS[-1]][: len(names)]
    return Colouring(attribute, codes=codes, names=[plain(n, 40) for n in names], colours=colours, symbols=symbols)
