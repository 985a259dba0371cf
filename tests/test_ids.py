"""Ids in one line: for the command line and for the addresses of the app."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmesr.ids import read_line, write_line


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("a,b", ["a", "b"]),
        ('"Game 1, II",b', ["Game 1, II", "b"]),
        ('a, "say ""hi"""', ["a", 'say "hi"']),
        ('"two\nlines",x', ["two\nlines", "x"]),
        ('12" vinyl,b', ['12" vinyl', "b"]),
        ("", []),
    ],
)
def test_ids_with_commas_stand_in_quotes(line: str, ids: list[str]) -> None:
    assert read_line(line) == ids


IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip))


@given(IDS.map(lambda ids: [i.strip() for i in ids]))
def test_what_is_written_is_read(ids: list[str]) -> None:
    assert read_line(write_line(ids)) == ids
