"""The points of a map, items or users, and where each of them stands in two spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.maps.knn import nearest_in_space, neighbours_of
from llmesr.maps.make import Map
from llmesr.maps.projection import align_all, pca_points
from llmesr.maps.quality import gap, trustworthiness
from llmesr.maps.spaces import Of, Space
from llmesr.semantic.diagnostics import shared_attributes

LIVE_UP_TO = 6_000
"""Points whose neighbours are found at once, within a second; above, the map must be made by a job."""


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


def stored_pair(made: Map, left: Space, right: Space, method: str, vectors: Callable[[Space], np.ndarray]) -> Pair:
    """Two spaces of a map artifact. ``vectors`` of a space are asked for where the artifact holds no gap of the two."""
    keys = made.keys

    def side(space: Space) -> Side:
        key = keys[space.spec]
        trust = made.trustworthiness(key, method)
        return Side(space, made.xy(key, method), trust, made.neighbours[key], None, made.similarity[key])

    apart = made.gap(keys[left.spec], keys[right.spec])
    if apart is None:
        apart = gap(*((vectors(space), made.neighbours[keys[space.spec]]) for space in (left, right)))
    return Pair(side(left), side(right), method, apart)


def live_pair(
    left: tuple[Space, np.ndarray], right: tuple[Space, np.ndarray], *, neighbours: int = 15, sample: int = 500
) -> Pair:
    """PCA of two spaces (space, vectors (n, E)), at once; the gap too while there are few points."""
    drawn = align_all({"left": pca_points(left[1]), "right": pca_points(right[1])})
    few = len(left[1]) <= LIVE_UP_TO
    sides = {}
    for name, (space, vectors) in {"left": left, "right": right}.items():
        near = nearest_in_space(vectors, neighbours) if few else None
        rows, similarity = (near.rows, near.similarity) if near else (None, None)
        trust = trustworthiness(vectors, drawn[name], neighbours, sample=sample)
        sides[name] = Side(space, drawn[name], trust, rows, vectors, similarity)
    a, b = sides["left"].neighbours, sides["right"].neighbours
    apart = None if a is None or b is None else gap((left[1], a), (right[1], b))
    return Pair(sides["left"], sides["right"], "pca", apart)
