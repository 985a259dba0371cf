"""Ids in one line: for the command line and for the addresses of the app."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
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


IDS = st.text("a1,;'é\n\r\" ", min_size=1, max_size=6).map(str.strip).filter(bool)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.lists(IDS, max_size=5))
def test_what_is_written_is_read(ids: list[str]) -> None:
    assert read_line(write_line(ids)) == ids
