"""Times in every dress give the same moment, their order survives, and what cannot be told is not guessed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.data.times import DAY, SECOND, detect, looks_like_time, read
from llmesr.errors import UserError

SAME = 1_584_230_400 * SECOND  # 2020-03-15 00:00:00 UTC
AT = 1_584_278_730 * SECOND  # 2020-03-15 13:25:30 UTC


def moments(values: list[str], given: str | None = None) -> list[int | None]:
    return read(detect(values, "t", "shop.csv", given), values)


@pytest.mark.parametrize(
    "text",
    [
        "1584230400", "1584230400.0", "1584230400000", "1584230400000000", "1584230400000000000", "1.5842304e9",
        "2020-03-15", "2020-03-15T00:00:00Z", "2020-03-15 02:00:00+02", "2020/03/15", "15.03.2020", "03/15/2020",
        "15/03/2020", "03 15, 2020", "Mar 15, 2020", "15 March 2020", "15-Mar-2020", "2020-03-15T00:00:00.000+00:00",
        "20200315", "20200315.0", "2020031500", "202003150000", "20200315000000", "20200315000000000",
        "3/15/20", "15/03/20", "15.3.20", "15-Mar-20", "20200315T000000Z", "3/15/2020 12:00 AM", "3/15/20, 12:00:00 am",
        "Sun, 15 Mar 2020 00:00:00 GMT", "Sunday, March 15, 2020", "Sun Mar 15 00:00:00 +0000 2020",
        "Sun Mar 15 00:00:00 2020", "15-03-2020", "2020.03.15", "15/Mar/2020:00:00:00 +0000",
    ],
)  # fmt: skip
def test_the_same_moment(text: str) -> None:
    assert moments([text, text]) == [SAME, SAME]
    assert looks_like_time([text])


@pytest.mark.parametrize(
    "text",
    [
        "2020-03-15 13:25:30", "2020-03-15 01:25:30 PM", "3/15/2020 1:25:30 PM", "15.03.2020 13:25:30",
        "15/03/2020 15:25:30 +0200", "20200315132530", "March 15, 2020 1:25:30 PM", "15 Mar 2020 13:25:30",
        "3/15/20 13:25:30", "2020-03-15T19:25:30+06:00", "20200315T132530", "2020-03-15 13:25:30 UTC",
    ],
)  # fmt: skip
def test_the_time_of_day(text: str) -> None:
    assert moments([text, text]) == [AT, AT]


@pytest.mark.parametrize(
    "later",
    [
        ["1593898444.1", "1593898444.3", "1593898444.438", "1593898444.7"],
        ["1593898444.000001", "1593898444.000002", "1593898444.00001"],
        ["1593898444123.25", "1593898444123.5", "1593898444124"],
        ["1593898444000000001", "1593898444000000002"],
        ["2020-07-04 21:34:04.1", "2020-07-04 21:34:04.25", "2020-07-04 21:34:05"],
        ["04/13/2020 21:34:04.1", "04/13/2020 21:34:04.2"],
        ["0.1", "0.15", "0.9", "1"],
        ["44075.25", "44075.5", "44076"],
        ["-3", "0", "2.5", "7"],
        ["7/4/2020 9:34:04 AM", "7/4/2020 12:34:04 PM", "7/4/2020 1:34:04 PM"],
    ],
)
def test_fractions_keep_their_order(later: list[str]) -> None:
    found = moments(later)
    assert None not in found
    assert all(a < b for a, b in pairwise(found))  # type: ignore[operator]


def test_unreadable_values_are_none() -> None:
    assert moments(["2020-03-15", "soon", "2020-03-15"]) == [SAME, None, SAME]
    assert moments(["1584230400", "9" * 25, "nan", "1584230400"]) == [SAME, None, None, SAME]
    assert moments(["20200315", "20201340", *["20200315"] * 30])[:2] == [SAME, None]


@pytest.mark.parametrize(
    "value",
    ["2020-03-15T00:00:00+25:00", "2020-03-15 00:00:00-15:30", "2020-03-15 00:00:00 +1430", "infinity", "epoch",
     "2020-03-15 (BC)", "2020-02-30", "2020-03-15T25:00:00"],
)  # fmt: skip
def test_what_is_no_moment_is_not_read(value: str) -> None:
    assert moments(["2020-03-15T00:00:00+00:00", value])[1] is None


def test_offsets_on_earth_are_read() -> None:
    assert moments(["2020-03-15T14:00:00+14:00", "2020-03-14T12:00:00-12:00"]) == [SAME, SAME]


def test_small_numbers_are_an_order() -> None:
    assert detect(["1", "2", "3"], "t", "shop.csv").kind == "order"
    assert moments(["3", "1"]) == [3 * SECOND, SECOND]
    assert not looks_like_time(["1", "2", "3"])


@pytest.mark.parametrize("digits", ["19991399", "20209901", "12345678"])
def test_eight_digits_that_are_no_date_are_an_order(digits: str) -> None:
    assert detect([digits] * 3, "t", "shop.csv").kind == "order"


def test_unix_times_are_not_taken_for_compact_dates() -> None:
    assert detect(["1584230400", "1584230401"], "t", "shop.csv").unit == "s"
    assert detect(["1584230400123", "1584230401456"], "t", "shop.csv").unit == "ms"


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        (["01/02/2020", "03/04/2020"], None),
        (["13/02/2020", "03/04/2020"], "%d/%m/%Y"),
        (["01/02/2020", "03/14/2020"], "%m/%d/%Y"),
        (["01.02.20", "30.04.20"], "%d.%m.%y"),
        (["01-02-2020 10:00", "28-02-2020 11:00"], "%d-%m-%Y %H:%M"),
        (["20-03-15", "20-03-28"], "%y-%m-%d"),
        (["15-03-20", "18-03-20", "20-03-21"], "%d-%m-%y"),
        (["15032020", "02042020"], "%d%m%Y"),
        (["12312020", "1022020"], "%m%d%Y"),
        (["150320201330", "020420200915"], "%d%m%Y%H%M"),
        (["200315", "200402", "191231"], "%y%m%d"),
        (["150320", "020420", "311219"], "%d%m%y"),
    ],
)
def test_day_and_month(values: list[str], read_as: str | None) -> None:
    form = detect(values, "t", "shop.csv")
    assert bool(form.others) == (read_as is None)
    if read_as:
        assert form.formats == (read_as,)


@pytest.mark.parametrize(
    ("given", "value"),
    [("%d/%m/%Y", "15/03/2020"), ("s", "1584230400"), ("excel", "43905"), ("%Y%j", "2020075"), ("ms", "1584230400000"),
     ("%d.%m.%y %H:%M", "15.03.20 00:00"), ("iso", "2020-03-15")],
)  # fmt: skip
def test_a_stated_format_is_used(given: str, value: str) -> None:
    assert moments([value], given) == [SAME]


def test_a_stated_format_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"time_format '%d/%m/%Y' does not fit column 't'"):
        moments(["2020-03-15"], "%d/%m/%Y")
    with pytest.raises(UserError, match="neither one of s, ms"):
        moments(["2020-03-15"], "european")
    with pytest.raises(UserError, match="no pattern for times"):
        moments(["2020-03-15"], "%Q%")


def test_zeros_among_compact_dates_are_no_times() -> None:
    assert moments([*["20200315"] * 30, "00000000", "0"]) == [*[SAME] * 30, None, None]


def test_a_number_without_its_leading_zero_is_the_same_day() -> None:
    assert moments(["15032020", "5042020", "05042020"]) == [SAME, SAME + 21 * DAY, SAME + 21 * DAY]


@pytest.mark.parametrize("numbers", [["100101", "100102"], ["183644", "235959", "120000"], ["99999999", "15034020"],
                                     ["123456", "234567", "345678"]])  # fmt: skip
def test_numbers_that_are_no_dates_are_an_order(numbers: list[str]) -> None:
    assert detect(numbers, "t", "shop.csv").kind == "order"


@pytest.mark.parametrize(
    "other",
    ["03/16/2020", "16.03.2020", "16 Mar 2020", "3/16/2020 12:00 AM", "16-Mar-20", "Mon, 16 Mar 2020 00:00:00 GMT"],
)
def test_two_ways_of_writing_in_one_column_are_both_read(other: str) -> None:
    assert moments(["2020-03-15", other, "2020-03-17", other]) == [SAME, SAME + DAY, SAME + 2 * DAY, SAME + DAY]


def test_days_and_months_that_contradict_each_other_are_not_both_believed() -> None:
    """Each line alone could be read; together they cannot, and the fewer are left out."""
    assert moments(["13/02/2020", "14/02/2020", "02/15/2020"])[2] is None
    assert moments(["13/02/2020", "14/02/2020", "2020-02-15", "02/15/2020"])[3] is None


def test_what_is_unclear_stays_unclear_beside_iso_dates() -> None:
    form = detect(["2020-03-15", "03/04/2020", "2020-03-16", "05/06/2020"], "t", "shop.csv")
    assert [f.formats[0] for f in (form, *form.others)] == ["%m/%d/%Y", "%d/%m/%Y"]


def test_words_are_no_times() -> None:
    with pytest.raises(UserError, match=r"'t' of shop\.csv .*'red'"):
        detect(["red", "blue"], "t", "shop.csv")
    assert not looks_like_time(["B004756YJA", "B004ZT0SSG"])
    assert not looks_like_time(["12:30:00", "12:31:00"])


@settings(max_examples=8, deadline=None)
@given(st.integers(10**8, 4 * 10**9), st.sampled_from(["", "000", "000000", "000000000"]))
def test_unix_times_of_any_unit(seconds: int, unit: str) -> None:
    if len(f"{seconds}{unit}") in (10, 12) and str(seconds)[:2] in ("19", "20"):
        return  # digits that are a date of our days are read as one
    assert moments([f"{seconds}{unit}"]) == [seconds * SECOND]
