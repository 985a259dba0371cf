"""Dates as text: which strptime formats a value could be written in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

_TIME = re.compile(
    r"(?P<lead>,? +|T|: *)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?P<second>:\d\d)?(?P<fraction>[.,]\d+)?"
    r"(?P<half> ?[AaPp][Mm])?(?P<gap> ?)(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d)?$"
)
_DIGITS = re.compile(r"(\d{1,4})([/.\- ])(\d{1,2})\2(\d{1,4})$")
# the time stands before the year, or the date has a weekday: whole formats
_WHOLE = (
    "%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%A, %B %d, %Y", "%a, %d %b %Y",
    "%A, %d %B %Y", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M",
)  # fmt: skip
_NAMED = (
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d-%B-%Y",
    "%d/%b/%Y", "%d.%b.%Y", "%d %b, %Y", "%d %B, %Y", "%d %b %y", "%b %Y", "%B %Y", "%Y-%b-%d", "%a, %d %b %Y",
    "%A, %B %d, %Y", "%m %d, %Y", "%Y%m%d", "%Y-%m", "%Y/%m", "%d%b%Y",
)  # fmt: skip

# dates written as digits alone, by how many there are
DIGITS = {
    6: ("%y%m%d", "%d%m%y", "%m%d%y"), 8: ("%Y%m%d", "%d%m%Y", "%m%d%Y"), 10: ("%Y%m%d%H",),
    12: ("%Y%m%d%H%M", "%d%m%Y%H%M", "%m%d%Y%H%M"), 14: ("%Y%m%d%H%M%S", "%d%m%Y%H%M%S", "%m%d%Y%H%M%S"),
    17: ("%Y%m%d%H%M%S%f",),
}  # fmt: skip
_PLAIN = re.compile(r"\d+(\.0*)?")


def digit_formats(values: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """How many digits these dates have, and in which formats their years are of our time; (0, ()) for none.

    A float may have made them 20210820.0, and a number has no leading zero: 1032021 is 01032021.
    """
    digits = [v.partition(".")[0] for v in values if _PLAIN.fullmatch(v)]
    lengths = Counter(len(d) + (len(d) == 7) for d in digits)
    length = lengths.most_common(1)[0][0] if lengths else 0
    if length not in DIGITS or lengths[length] < 0.95 * len(values):
        return 0, ()
    whole = [d.zfill(8) if length == 8 else d for d in digits]
    whole = [d for d in whole if len(d) == length]
    if length == 6 and len(set(whole)) < 3:  # too few to tell a date from any other number
        return 0, ()
    return length, tuple(f for f in DIGITS[length] if _of_our_time(f, whole))


def _of_our_time(form: str, digits: Sequence[str]) -> bool:
    if "%Y" not in form:
        return True
    at = form.index("%Y")  # two letters of the format stand for two digits
    return sum("1900" <= d[at : at + 4] < "2100" for d in digits) >= 0.95 * len(digits)


def shape_of(value: str) -> str:
    """``value`` with every digit as 9 and every letter as a: values of one shape are written alike."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))


def candidates(value: str) -> Iterator[tuple[str, str]]:
    """(the order of day, month and year; the whole format) of each way ``value`` could be written, likeliest first."""
    value = value.strip()
    for form in _WHOLE:
        if _fits(value, form.replace("%Z", "UTC") if "UTC" in value else form):
            yield form, form
    match = _TIME.search(value)
    date, time = (value[: match.start()], _time_format(match)) if match else (value, "")
    numbers = _DIGITS.match(date)
    if numbers:
        for order in _orders(numbers):
            yield order, order + time
        return
    for form in _NAMED:
        if _fits(date, form):
            yield form, form + time


def _orders(match: re.Match[str]) -> list[str]:
    first, sign, _, last = match.groups()
    if len(first) == 4:
        return [f"%Y{sign}%m{sign}%d"]
    if len(last) == 4:
        american = [f"%m{sign}%d{sign}%Y", f"%d{sign}%m{sign}%Y"]
        return american if sign == "/" else american[::-1]
    if len(first) > 2 or len(last) != 2:
        return []
    orders = [f"%m{sign}%d{sign}%y", f"%d{sign}%m{sign}%y"]
    year_first = [f"%y{sign}%m{sign}%d"] if len(first) == 2 else []
    return {"/": [*orders, *year_first], ".": [*orders[::-1], *year_first]}.get(sign, [*year_first, *orders[::-1]])


def _time_format(match: re.Match[str]) -> str:
    form = match["lead"].replace("  ", " ") + ("%I" if match["half"] else "%H") + ":%M"
    form += ":%S" if match["second"] else ""
    form += match["fraction"][0] + "%f" if match["fraction"] else ""
    form += match["half"][:-2] + "%p" if match["half"] else ""
    zone = match["zone"] or ""
    if zone in ("Z", "UTC", "GMT"):
        return form + match["gap"] + zone
    return form + (match["gap"] + "%z" if zone else "")


def _fits(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)
    except ValueError:
        return False
    return True
