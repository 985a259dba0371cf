"""Words as vectors: alike where words are shared, the rarer the more, and nothing for a text without any."""

from __future__ import annotations

import numpy as np
import pytest

from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.text.words import word_vectors

TEXTS = ["black ink cartridge", "black ink refill", "wooden chair", "", "black oak table"]


def test_shared_words_bring_texts_together() -> None:
    vectors = word_vectors(TEXTS, 4)
    assert vectors.shape == (5, 4)
    assert not vectors[3].any()
    alike = unit_rows(vectors) @ unit_rows(vectors).T
    assert alike[0, 1] > alike[0, 4] > alike[0, 2]  # two words; one that most share; none


def test_all_directions_keep_the_cosines_of_the_vocabulary() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    whole = TfidfVectorizer(sublinear_tf=True).fit_transform(TEXTS)
    vectors = word_vectors(TEXTS)
    np.testing.assert_allclose(vectors @ vectors.T, (whole @ whole.T).toarray(), atol=1e-5)
    assert (word_vectors(TEXTS) == vectors).all()


def test_a_single_text_or_word_will_do_but_none_will_not() -> None:
    assert word_vectors(["ink"]).shape == (1, 1)
    assert word_vectors(["ink", "ink"]).shape == (2, 1)
    with pytest.raises(UserError, match="no words"):
        word_vectors(["", "!"])
