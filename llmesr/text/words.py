"""The words of items as vectors: TF-IDF in its main directions, no language model.

Words tell apart what an encoder of sentences brings together (sizes, models, brands), and the other way round: as a
further view beside the text they count on their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmesr.errors import UserError
from llmesr.text.prompts import attribute_lists

DIRECTIONS = 256
"""As many keep the cosines of the whole vocabulary: on validation as good as all of its dimensions, or better."""


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
