"""What a model may answer, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmesr.scoring.allocation.answers import complete, understood

TITLES = ["Ink 12 pack", "Red pen", "Paper", "Glue"]


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("3, 1, 4, 2", [2, 0, 3, 1]),
        ("[3, 1, 4, 2]", [2, 0, 3, 1]),
        ("Ranking: 3 > 1 > 4 > 2.", [2, 0, 3, 1]),
        ("3. Paper\n1. Ink 12 pack\n4. Glue", [2, 0, 3]),
        ("**2.** Red pen\n**1.** Ink 12 pack", [1, 0]),
        ("- Glue\n- Paper", [3, 2]),
        ("<think>1, 2, 3, 4 at first?</think>4, 3", [3, 2]),
        ("<think>1, 2, 3, 4 and no end", []),
        ("2\n3\n1", [1, 2, 0]),
        ("I cannot do that.", []),
        ("", []),
    ],
)
def test_an_order_is_read_from_whatever_says_it(answer: str, order: list[int]) -> None:
    assert understood(answer, TITLES).order == order


def test_invented_and_repeated_candidates_are_counted_and_left_out() -> None:
    read = understood("9, 2, 2, 0, 1, 123456789012345678901234567890", TITLES)
    assert (read.order, read.invented, read.repeated) == ([1, 0], 3, 1)
    assert complete(read, 4) == [1, 0, 2, 3]


@given(st.text(max_size=300), st.lists(st.text(max_size=20), min_size=1, max_size=12))
def test_no_answer_costs_a_candidate(answer: str, titles: list[str]) -> None:
    assert sorted(complete(understood(answer, titles), len(titles))) == list(range(len(titles)))
