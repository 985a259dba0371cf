"""Regions of a map, named by the words of what lies there: class-based TF-IDF (Grootendorst 2022, BERTopic, 3.3).

A word's weight in a region is how many of its points say it, times log(1 + A / f): A is the average number of words in
a region, f how many points say it anywhere. Words that everybody says thus name nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

SAID_BY = 0.12
"""A word names a region only when this share of its points say it,"""
OFTEN = 2.0
"""and this many times the share of all points,"""
FEWEST = 3
"""and so many points at least."""
PARTS = (24, 96, 384)
"""Regions of the whole picture, of the picture at twice its size, and at four times: as many in what is then seen."""
ROOM = 20
"""So many points a region has on average, or the picture is not cut so small."""


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the picture: its words, where to write them, and the rows that lie there."""

    words: tuple[str, ...]
    x: float
    y: float
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Words:
    """Which of n texts say which word, once each: a sparse (n, W) of 0 and 1."""

    said: sparse.csr_matrix
    names: np.ndarray  # (W,) str

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """Words of at least three letters that three texts say, without those of English grammar."""
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(binary=True, stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b", min_df=1)
        try:
            said = sparse.csr_matrix(counter.fit_transform(texts))
        except ValueError:  # sklearn's word for: no text says anything
            return cls(sparse.csr_matrix((len(texts), 0)), np.zeros(0, object))
        often = np.flatnonzero(np.asarray(said.sum(axis=0)).ravel() >= FEWEST)
        return cls(said[:, often], counter.get_feature_names_out()[often])

    @functools.cached_property
    def anywhere(self) -> np.ndarray:
        """(W,) how many texts say each word."""
        return np.asarray(self.said.sum(axis=0)).ravel()

    def standing_out(self, rows: np.ndarray, most: int = 3) -> tuple[str, ...]:
        """The words that set ``rows`` apart, most telling first; none where no word does."""
        inside = np.asarray(self.said[rows].sum(axis=0)).ravel()
        return self._telling(inside, len(rows), inside.sum(), most)

    def of_parts(self, rows: np.ndarray, part: np.ndarray, count: int, most: int) -> list[tuple[str, ...]]:
        """The words that set each of ``count`` parts apart; ``part`` (n,) says in which each of ``rows`` lies."""
        belongs = sparse.csr_matrix((np.ones(len(rows)), (part, np.arange(len(rows)))), shape=(count, len(rows)))
        inside, sizes = (belongs @ self.said[rows]).tocsr(), np.bincount(part, minlength=count)
        average = inside.sum() / count
        return [self._telling(inside[n].toarray().ravel(), int(sizes[n]), average, most) for n in range(count)]

    def _telling(self, inside: np.ndarray, size: int, average: float, most: int) -> tuple[str, ...]:
        """``inside`` (W,): how many of a part's ``size`` points say each word; ``average``: the words of a part."""
        if not size or not len(self.names):
            return ()
        weight = inside * np.log1p(average / self.anywhere)
        share, overall = inside / size, self.anywhere / self.said.shape[0]
        told = (inside >= FEWEST) & (share >= SAID_BY) & (share >= OFTEN * overall)
        best = np.argsort(-np.where(told, weight, -1), kind="stable")[:most]
        return tuple(str(self.names[w]) for w in best if told[w])


def regions(xy: np.ndarray, words: Words, count: int, seed: int = 0) -> list[Region]:
    """At most ``count`` parts of a picture ``xy`` (n, 2; NaN without a place) that have words of their own, those with
    the most points first.

    k-means of places, since a name is written over a place; a part that no word sets apart stays without.
    """
    from sklearn.cluster import KMeans

    there = np.flatnonzero(np.isfinite(xy).all(axis=1))
    places = xy[there].astype(np.float64)
    count = min(count, len(np.unique(places, axis=0)))
    if count < 2:
        return []
    part = KMeans(count, n_init=1, random_state=seed).fit_predict(places)
    told = words.of_parts(there, part, count, most=2)
    found = []
    for number in (number for number in range(count) if told[number]):
        rows = there[part == number]
        x, y = np.median(xy[rows], axis=0)
        found.append(Region(told[number], float(x), float(y), rows))
    return sorted(found, key=lambda region: len(region.rows), reverse=True)


def levels(xy: np.ndarray, words: Words) -> list[list[Region]]:
    """The regions of a picture seen whole, at twice its size, at four times: each list as :func:`regions` makes it.

    Fewer levels where there are too few points to be told apart.
    """
    most = max(int(np.isfinite(xy).all(axis=1).sum()) // ROOM, PARTS[0])
    return [regions(xy, words, count) for count in PARTS if count <= most]
