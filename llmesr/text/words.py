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


def word_vectors(texts: Sequence[str], directions: int = DIRECTIONS) -> np.ndarray:
    """(N, at most ``directions``) float32, zero for a text without words.

    Sublinear term frequency times inverse document frequency, unit rows, then the truncated singular value
    decomposition (latent semantic analysis; Deerwester et al. 1990). The same texts give the same vectors.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        counted = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError as error:  # "empty vocabulary"
        raise UserError("The item texts hold no words to make vectors of.") from error
    kept = min(directions, min(counted.shape) - 1)
    if kept < 1:
        return np.asarray(counted.toarray(), np.float32)
    return np.asarray(TruncatedSVD(kept, random_state=0).fit_transform(counted), np.float32)


def item_words(catalogue: pd.DataFrame) -> np.ndarray:
    """:func:`word_vectors` of all attributes of the items, (N, D). UserError when they hold no words."""
    return word_vectors([" ".join(row) for row in attribute_lists(catalogue, max_chars=None)])


def item_attributes(catalogue: pd.DataFrame) -> np.ndarray:
    """(N, at most SHARED_VALUES) float32: which values of attributes each item has, rare ones counting more (inverse
    document frequency); zero for an item that shares none.

    A value is what stands between commas, semicolons or bars: a brand, each of several genres. What one item alone has,
    as a title, says nothing of others. UserError when no two items share a value.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    columns = [c for c in catalogue.columns if c != "item_id"]
    rows: list[list[str]] = [[] for _ in range(len(catalogue))]
    for column in columns:
        for row, cell in zip(rows, catalogue[column].tolist(), strict=True):
            row += [f"{column} {value.strip().lower()}" for value in _BETWEEN.split(cell) if value.strip()]
    try:
        counted = TfidfVectorizer(analyzer=list, min_df=2, max_features=SHARED_VALUES).fit_transform(rows)
    except ValueError as error:  # "no terms remain"
        raise UserError("No two items share the value of an attribute.") from error
    return np.asarray(counted.toarray(), np.float32)
