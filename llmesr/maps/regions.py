"""Regions of a map, named by the words of what lies there: class-based TF-IDF (Grootendorst 2022, BERTopic, 3.3).

A word's weight in a region is how many of its points say it, times log(1 + A / f): A is the average number of words in
a region, f how many points say it anywhere. Words that everybody says thus name nothing.
"""

from __future__ import annotations

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

    def standing_out(self, rows: np.ndarray, average: float | None = None, most: int = 3) -> tuple[str, ...]:
        """The words that set ``rows`` apart, most telling first; none where no word does.

        ``average``: the average number of words in a region; that of these rows where there is but one.
        """
        if not len(rows) or not len(self.names):
            return ()
        inside = np.asarray(self.said[rows].sum(axis=0)).ravel()
        anywhere = np.asarray(self.said.sum(axis=0)).ravel()
        weight = inside * np.log1p((inside.sum() if average is None else average) / anywhere)
        share, overall = inside / len(rows), anywhere / self.said.shape[0]
        told = (inside >= FEWEST) & (share >= SAID_BY) & (share >= OFTEN * overall)
        best = np.argsort(-np.where(told, weight, -1), kind="stable")[:most]
        return tuple(str(self.names[w]) for w in best if told[w])


def regions(xy: np.ndarray, words: Words, count: int, seed: int = 0) -> list[Region]:
    """At most ``count`` parts of a picture ``xy`` (n, 2; NaN without a place) that have words of their own.

    k-means of places, since a name is written over a place; a part that no word sets apart stays without.
    """
    from sklearn.cluster import KMeans

    there = np.flatnonzero(np.isfinite(xy).all(axis=1))
    places = xy[there].astype(np.float64)
    count = min(count, len(np.unique(places, axis=0)))
    if count < 2:
        return []
    part = KMeans(count, n_init=1, random_state=seed).fit_predict(places)
    average = words.said[there].sum() / count
    found = []
    for number in range(count):
        rows = there[part == number]
        if told := words.standing_out(rows, average, most=2):
            x, y = np.median(xy[rows], axis=0)
            found.append(Region(told, float(x), float(y), rows))
    return found
