"""A search finds what a dictionary finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from llmesr.data.lookup import lookup


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), unique=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
def test_ids_of_any_letters_are_found_and_others_are_not(ids: list[str], other: str) -> None:
    known = lookup(np.array(ids, dtype=object))
    searched = lookup(pd.array(ids, dtype=pd.StringDtype("pyarrow")))
    assert [searched.get(id) for id in ids] == list(range(len(ids)))
    assert known.get(other) == searched.get(other)


def test_the_smallest_cases() -> None:
    searched = lookup(pd.array(["b", "a"], dtype=pd.StringDtype("pyarrow")))
    assert [searched.get(id) for id in ("", "a", "aa", "b", "c")] == [None, 1, None, 0, None]
    assert lookup(pd.array([], dtype=pd.StringDtype("pyarrow"))).get("a") is None
