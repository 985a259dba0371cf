"""What the map page shows of a dataset: its points, how they are coloured, and where each one stands in two spaces."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.maps.knn import neighbours_of
from llmesr.maps.make import Map
from llmesr.maps.projection import align_all, pca_points
from llmesr.maps.quality import gap, trustworthiness
from llmesr.maps.spaces import Of, Space
from llmesr.semantic.diagnostics import shared_attributes
from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode

ColourBy = Literal["group", "count", "category", "gap"]
OTHER = "other"
LIVE_UP_TO = 6_000
"""Points whose neighbours the app finds itself, within a second; above, the map must be made by a job."""
_CATEGORIES = 8
_INVISIBLE = re.compile(r"[\u0000-\u0008\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CATEGORY_COLOURS: dict[Mode, tuple[str, ...]] = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56a4d8", "#7a3e9d", "#5f5f5f"),
    "dark": ("#56b4e9", "#ff8c42", "#2fd3a4", "#e79cc8", "#f0e442", "#4d8fd6", "#b98ae0", "#b5b5b5"),
}
_CATEGORY_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "pentagon", "x")


@dataclass(frozen=True, eq=False)
class Points:
    """The n points of a map: items 1..N in catalogue order, or users 0..U-1."""

    of: Of
    ids: np.ndarray  # (n,) str
    titles: np.ndarray  # (n,) str, untrusted
    counts: np.ndarray  # (n,) training interactions
    tail: np.ndarray  # (n,) bool
    catalogue: pd.DataFrame | None  # of items

    @classmethod
    def of_items(cls, dataset: Dataset) -> Points:
        catalogue = dataset.catalogue
        ids = catalogue["item_id"].to_numpy(object)
        counts = np.asarray(dataset.item_counts[1:])
        titles = catalogue.get("title", catalogue["item_id"]).to_numpy(object)
        return cls("items", ids, titles, counts, dataset.thresholds.tail_items(counts), catalogue)

    @classmethod
    def of_users(cls, dataset: Dataset) -> Points:
        lengths = np.asarray(dataset.split.train_lengths)
        ids = np.asarray(dataset.user_ids, dtype=object)
        return cls("users", ids, ids, lengths, dataset.thresholds.tail_users(lengths), None)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def groups(self) -> tuple[str, str]:
        """The names of tail and head."""
        return ("Tail Item", "Head Item") if self.of == "items" else ("Tail User", "Head User")

    @property
    def attributes(self) -> list[str]:
        """Columns whose values several items share, worth colouring by."""
        return [] if self.catalogue is None else shared_attributes(self.catalogue)

    def find(self, text: str, limit: int = 500) -> np.ndarray:
        """Rows whose id is ``text`` or whose title contains every word of it, most chosen first."""
        words = text.casefold().split()
        if not words:
            return np.zeros(0, np.int64)
        exact = np.flatnonzero(self.ids == text.strip())
        if len(exact):
            return exact
        fits = np.fromiter((all(w in t.casefold() for w in words) for t in self.titles), bool, len(self))
        rows = np.flatnonzero(fits)
        return rows[np.argsort(-self.counts[rows], kind="stable")][:limit]

    def hover(self, rows: np.ndarray, longest: int) -> np.ndarray:
        """Title and count of each row, escaped and cut to ``longest`` characters: an array of objects, which plotly
        takes over without looking at every one."""
        return _hover_texts(self, longest)[rows]


@functools.lru_cache(maxsize=16)
def _hover_texts(points: Points, longest: int) -> np.ndarray:
    """The texts of all points: every map of them, and every selection on it, shows the same."""
    texts = np.empty(len(points), object)
    texts[:] = [
        f"{hover_text(t, longest)}<br>{c:,} in training" for t, c in zip(points.titles, points.counts, strict=True)
    ]
    return texts


def hover_text(text: object, longest: int) -> str:
    """``text`` as plotly shows it literally: one line, cut, escaped."""
    line = " ".join(_INVISIBLE.sub("\ufffd", str(text)).split())
    return escape(line if len(line) <= longest else line[: longest - 1] + "…", quote=False)


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two maps."""

    space: Space
    xy: np.ndarray  # (n, 2), NaN without a place
    trust: float
    neighbours: np.ndarray | None  # (n, k) rows, -1 where there is none
    vectors: np.ndarray | None  # (n, E), when no neighbours are stored
    similarity: np.ndarray | None = None

    def nearest(self, row: int, k: int = 15) -> tuple[np.ndarray, np.ndarray]:
        """The rows nearest to ``row`` in the original space and their cosines."""
        if self.neighbours is not None and self.similarity is not None:
            rows = self.neighbours[row][:k]
            return rows[rows >= 0], self.similarity[row][:k][rows >= 0]
        assert self.vectors is not None
        return neighbours_of(self.vectors, row, k)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two maps of the same points."""

    left: Side
    right: Side
    method: str
    gap: np.ndarray | None  # (n,); None when the neighbours were not searched yet

    @property
    def sides(self) -> dict[str, Side]:
        return {"left": self.left, "right": self.right}


def stored_pair(made: Map, left: Space, right: Space, method: str) -> Pair:
    """Two spaces of a map artifact."""
    keys = made.keys

    def side(space: Space) -> Side:
        key = keys[space.spec]
        trust = made.trustworthiness(key, method)
        return Side(space, made.xy(key, method), trust, made.neighbours[key], None, made.similarity[key])

    return Pair(side(left), side(right), method, made.gap(keys[left.spec], keys[right.spec]))


def live_pair(
    left: tuple[Space, np.ndarray], right: tuple[Space, np.ndarray], *, neighbours: int = 15, sample: int = 500
) -> Pair:
    """PCA of two spaces (space, vectors (n, E)), at once; the gap too while there are few points."""
    from llmesr.maps.knn import nearest_in_space

    drawn = align_all({"left": pca_points(left[1]), "right": pca_points(right[1])})
    few = len(left[1]) <= LIVE_UP_TO
    sides = {}
    for name, (space, vectors) in {"left": left, "right": right}.items():
        near = nearest_in_space(vectors, neighbours) if few else None
        rows, similarity = (near.rows, near.similarity) if near else (None, None)
        trust = trustworthiness(vectors, drawn[name], neighbours, sample=sample)
        sides[name] = Side(space, drawn[name], trust, rows, vectors, similarity)
    a, b = sides["left"].neighbours, sides["right"].neighbours
    return Pair(sides["left"], sides["right"], "pca", None if a is None or b is None else gap(a, b))


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
        return Colouring("Gap", values=pair.gap, ticks=([0, 0.5, 1], ["0 same", "0.5", "1 apart"]))
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
    palette = _CATEGORY_COLOURS[mode]
    colours = [*palette[: len(frequent)], palette[-1]][: len(names)]
    symbols = [*_CATEGORY_SYMBOLS[: len(frequent)], _CATEGORY_SYMBOLS[-1]][: len(names)]
    return Colouring(attribute, codes=codes, names=[hover_text(n, 40) for n in names], colours=colours, symbols=symbols)
