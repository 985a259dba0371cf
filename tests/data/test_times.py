"""Times in every dress give the same microseconds."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.data.times import detect, looks_like_time
from llmesr.errors import UserError

SAME = 1_584_230_400_000_000  # 2020-03-15 00:00:00 UTC


def microseconds(values: list[str]) -> list[int | None]:
    form = detect(values, "t", "shop.csv")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [
            row[0]
            for row in connection.execute(
                f"SELECT {form.sql('v')} FROM (SELECT unnest(?::VARCHAR[]) AS v)", [values]
            ).fetchall()
        ]


@pytest.mark.parametrize(
    "text",
    [
        "1584230400", "1584230400.0", "1584230400000", "1584230400000000", "1584230400000000000", "1.5842304e9",
        "2020-03-15", "2020-03-15T00:00:00Z", "2020-03-15 02:00:00+02", "2020/03/15", "15.03.2020", "03/15/2020",
        "15/03/2020", "03 15, 2020", "Mar 15, 2020", "15 March 2020", "15-Mar-2020", "2020-03-15T00:00:00.000+00:00",
    ],
)  # fmt: skip
def test_the_same_moment(text: str) -> None:
    assert microseconds([text, text]) == [SAME, SAME]
    assert looks_like_time([text])


def test_unreadable_values_are_none() -> None:
    assert microseconds(["2020-03-15", "soon", "2020-03-15"]) == [SAME, None, SAME]
    assert microseconds(["1584230400", "9" * 25, "nan", "1584230400"]) == [SAME, None, None, SAME]


def test_small_numbers_are_an_order() -> None:
    assert detect(["1", "2", "3"], "t", "shop.csv").kind == "order"
    assert microseconds(["3", "1"]) == [3, 1]
    assert not looks_like_time(["1", "2", "3"])


def test_day_and_month() -> None:
    assert detect(["01/02/2020", "03/04/2020"], "t", "shop.csv").ambiguous
    assert not detect(["13/02/2020", "03/04/2020"], "t", "shop.csv").ambiguous


def test_words_are_no_times() -> None:
    with pytest.raises(UserError, match=r"'t' of shop\.csv .*'red'"):
        detect(["red", "blue"], "t", "shop.csv")
    assert not looks_like_time(["B004756YJA", "B004ZT0SSG"])


@settings(max_examples=8, deadline=None)
@given(st.integers(10**8, 4 * 10**9), st.sampled_from([("", 1), ("000", 1), ("000000", 1), ("000000000", 1)]))
def test_unix_times_of_any_unit(seconds: int, unit: tuple[str, int]) -> None:
    assert microseconds([f"{seconds}{unit[0]}"]) == [seconds * 1_000_000]
