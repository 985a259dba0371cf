"""The words of items as vectors, and the attribute values that they share: TF-IDF, no language model.

Words tell apart what an encoder of sentences brings together (sizes, models, brands), and the other way round: as a
further view beside the text they count on their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmesr.errors import UserError
from llmesr.text.prompts import attribute_lists

DIRECTIONS = 256
"""As many keep the cosines of the whole vocabulary: on validation as good as all of its dimensions, or better."""
SHARED_VALUES = 1024
"""Attribute values that are told apart, the most frequent ones."""
_BETWEEN = re.compile(r"[,|;]")


def word_vectors(
    texts: Sequence[str], directions: int = DIRECTIONS, further: Sequence[str] | None = None
) -> np.ndarray:
    """(N, at most ``directions``) float32, zero for a text without words; in place of ``texts`` those of ``further``,
    in the same space: by the words that ``texts`` have, and as rare as they are there.

    Sublinear term frequency times inverse document frequency, unit rows, then the truncated singular value
    decomposition (latent semantic analysis; Deerwester et al. 1990). The same texts give the same vectors.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counting = TfidfVectorizer(sublinear_tf=True)
    try:
        counted = counting.fit_transform(texts)
    except ValueError as error:  # "empty vocabulary"
        raise UserError("The item texts hold no words to make vectors of.") from error
    wanted = counted if further is None else counting.transform(further)
    kept = min(directions, min(counted.shape) - 1)
    if kept < 1:
        return np.asarray(wanted.toarray(), np.float32)
    reducing = TruncatedSVD(kept, random_state=0)
    found = reducing.fit_transform(counted)
    return np.asarray(found if further is None else reducing.transform(wanted), np.float32)


def item_words(catalogue: pd.DataFrame, further: pd.DataFrame | None = None) -> np.ndarray:
    """:func:`word_vectors` of all attributes of the items, (N, D), or of ``further`` items in the same space. UserError
    when they hold no words."""
    others = None if further is None else _joined(further)
    return word_vectors(_joined(catalogue), further=others)


def _joined(catalogue: pd.DataFrame) -> list[str]:
    return [" ".join(row) for row in attribute_lists(catalogue, max_chars=None)]


def item_attributes(catalogue: pd.DataFrame, further: pd.DataFrame | None = None) -> np.ndarray:
    """(N, at most SHARED_VALUES) float32: which values of attributes each item has, rare ones counting more (inverse
    document frequency); zero for an item that shares none.

    A value is what stands between commas, semicolons or bars: a brand, each of several genres. What one item alone has,
    as a title, says nothing of others. Of ``further`` items in their place: which of these values they have. UserError
    when no two items share a value.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    counting = TfidfVectorizer(analyzer=list, min_df=2, max_features=SHARED_VALUES)
    try:
        counted = counting.fit_transform(_values(catalogue))
    except ValueError as error:  # "no terms remain"
        raise UserError("No two items share the value of an attribute.") from error
    wanted = counted if further is None else counting.transform(_values(further))
    return np.asarray(wanted.toarray(), np.float32)


def _values(catalogue: pd.DataFrame) -> list[list[str]]:
    """The values of each item, with the attribute that each is of."""
    columns = [c for c in catalogue.columns if c != "item_id"]
    rows: list[list[str]] = [[] for _ in range(len(catalogue))]
    for column in columns:
        for row, cell in zip(rows, catalogue[column].tolist(), strict=True):
            row += [f"{column} {value.strip().lower()}" for value in _BETWEEN.split(cell) if value.strip()]
    return rows
