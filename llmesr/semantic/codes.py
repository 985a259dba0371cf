"""Item texts as a few codes each, from codebooks that items share (Mixture-of-Codes, 2410.09560; RQ-VAE's residuals).

A code says which of K groups of texts an item is in; several codebooks group the same texts by different directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError

FIT = 50_000
"""Items that the groups are found on; all others go to the nearest."""
NONE = 0
"""The code of items without text, of which every codebook has one."""


@dataclass(frozen=True)
class Codes:
    """``values`` (N, C): from 1 on the group of the item in each codebook, :data:`NONE` without text."""

    values: np.ndarray

    def report(self) -> dict[str, Any]:
        """What the codes tell apart, and the bytes that an item takes."""
        known = self.values[self.values[:, 0] != NONE]
        together = np.unique(known, axis=0, return_counts=True)[1] if len(known) else np.zeros(0, int)
        return {
            "codes": [len(np.unique(column[column != NONE])) for column in self.values.T],
            "distinct": len(together),
            "items_that_share_all_codes": int(together[together > 1].sum()),
            "items_without_text": len(self.values) - len(known),
            "bytes_per_item": self.values.itemsize * self.values.shape[1],
        }


def describe(report: dict[str, Any], codebook_size: int) -> str:
    """A report in a sentence or two."""
    used, books = report["codes"], len(report["codes"])
    said = f"{books} codes of {report['bytes_per_item']} bytes in all for each item, {report['distinct']:,} of them "
    said += f"different; {report['items_that_share_all_codes']:,} items share all theirs with another."
    if max(used) < codebook_size:
        said += f" The texts fill {min(used):,} to {max(used):,} of the {codebook_size:,} codes of a codebook."
    if report["items_without_text"]:
        said += f" {report['items_without_text']:,} items have no text and one code together."
    return said


def quantise(vectors: np.ndarray, *, codebooks: int, size: int, kind: str, seed: int) -> Codes:
    """``vectors`` (N, E) of the item texts, a zero row without one -> ``codebooks`` C codes of ``size`` K for each.

    ``projections``: k-means on C parts of a random rotation, independent of one another. ``residual``: k-means on what
    the codebooks before have left over. Texts are compared without their common mean, at length 1. Fewer different
    texts than K give as many codes as there are. UserError when E is smaller than C.
    """
    if kind == "projections" and codebooks > vectors.shape[1]:
        raise UserError(
            f"The text vectors have {vectors.shape[1]} dimensions, too few for {codebooks} codebooks on different "
            f"directions: set codebooks to at most {vectors.shape[1]}, or quantisation=residual."
        )
    known = vectors.any(axis=1)
    values = np.full((len(vectors), codebooks), NONE, np.int16)
    if known.any():
        texts = unit_rows(vectors[known] - vectors[known].mean(axis=0))
        rng = np.random.default_rng(seed)
        found = _residual if kind == "residual" else _projected
        values[known] = 1 + np.stack(list(found(texts, codebooks, size, rng)), axis=1)
    return Codes(values)


def _projected(texts: np.ndarray, codebooks: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    rotation = np.linalg.qr(rng.normal(size=(texts.shape[1],) * 2))[0].astype(np.float32)
    for directions in np.array_split(rotation, codebooks, axis=1):
        yield _grouped(texts @ directions, size, rng)[0]


def _residual(texts: np.ndarray, codebooks: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    left = texts
    for _ in range(codebooks):
        group, centres = _grouped(left, size, rng)
        yield group
        left = left - centres[group]


def _grouped(rows: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The group (n,) of each row, from 0 on, and the centres (k, d) of at most ``size`` groups."""
    from sklearn.cluster import KMeans

    sample = rows if len(rows) <= FIT else rows[rng.choice(len(rows), FIT, replace=False)]
    different = len(np.unique(sample, axis=0))
    model = KMeans(min(size, different), n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(sample)
    return np.asarray(model.predict(rows)), np.asarray(model.cluster_centers_)
