"""Words and attributes as vectors: alike where something is shared, the rarer the more, and nothing without any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.text.words import item_attributes, word_vectors

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


def test_further_texts_stand_where_the_same_words_stand() -> None:
    found = word_vectors(TEXTS, 4, further=[*TEXTS[:2], "unheard of"])
    np.testing.assert_allclose(found[:2], word_vectors(TEXTS, 4)[:2], atol=1e-6)
    assert not found[2].any()


def test_a_single_text_or_word_will_do_but_none_will_not() -> None:
    assert word_vectors(["ink"]).shape == (1, 1)
    assert word_vectors(["ink", "ink"]).shape == (2, 1)
    with pytest.raises(UserError, match="no words"):
        word_vectors(["", "!"])


def test_attributes_are_values_that_several_items_have() -> None:
    catalogue = pd.DataFrame(
        {
            "item_id": ["1", "2", "3", "4", "5"],
            "title": ["Alien", "Heat", "Ran", "Big", ""],  # nobody shares one
            "genres": ["Sci-Fi, Horror", "Crime,Drama", "drama|War", "Comedy", "Drama"],
            "studio": ["Fox", "WB", "Toho", "Fox", ""],
        }
    )
    vectors = item_attributes(catalogue)
    assert vectors.shape == (5, 2)  # drama and Fox
    alike = unit_rows(vectors) @ unit_rows(vectors).T
    assert alike[1, 2] == alike[1, 4] == alike[0, 3] == 1
    assert alike[0, 1] == alike[3, 4] == 0
    with pytest.raises(UserError, match="No two items share"):
        item_attributes(catalogue[["item_id", "title"]])


def test_a_rare_value_says_more_than_a_common_one() -> None:
    brands, kinds = ["A", "A", "B", "B", "B", "E"], ["pen", "ink", "pen", "pen", "pen", "ink"]
    catalogue = pd.DataFrame({"item_id": list("123456"), "brand": brands, "kind": kinds})
    alike = unit_rows(item_attributes(catalogue)) @ unit_rows(item_attributes(catalogue)).T
    assert alike[0, 1] > alike[0, 2] > 0  # a brand that two have; a kind that four have
