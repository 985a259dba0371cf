"""What a column of times means: unix seconds to nanoseconds, dates as text, compact digits, or only an order."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import duckdb
import numpy as np

from llmesr.data.dates import candidates, digit_formats, shape_of
from llmesr.errors import UserError

SECOND = 1_000_000_000
"""Times are staged in nanoseconds, an order in billionths of its own unit, so that fractions keep their order."""
DAY = 86_400 * SECOND
EXCEL_EPOCH = 25_569
"""1970-01-01 as an Excel serial date (days since 1899-12-30)."""
# the size of a number tells its unit: 1e8 s is 1973, and so on by factors of a thousand
UNITS = (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e8))
FACTORS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND, "order": SECOND}
WRITTEN_ISO = "iso"
"""Among formats of strptime, what a cast reads."""
ABSENT = ("", "nan", "null", "none", "nat", "na", "n/a", "<na>", r"\n")
OFFSET_TOO_FAR = r":[0-9.,]+ ?[+-](1[5-9]|[2-9][0-9]|14:?([1-5][0-9]|0[1-9]))"


@dataclass(frozen=True)
class TimeFormat:
    """How to read a time column.

    ``kind`` "seconds": real time, stored in seconds; "order": numbers that only give an order. ``label`` says it in
    words. ``unit`` is that of numbers (ns, us, ms, s, days), ``formats`` those of text (strptime, or "iso"; ISO dates
    when there are none). ``digits``: of how many digits the text is, perhaps with ".0" behind them (0: it is not).
    ``others``: what else the sample could mean (the same dates, day and month exchanged).
    """

    kind: Literal["seconds", "order"]
    label: str
    unit: str = ""
    formats: tuple[str, ...] = ()
    digits: int = 0
    others: tuple[TimeFormat, ...] = ()

    def sql(self, value: str) -> str:
        """SQL for nanoseconds since 1970 (billionths for an order) of the string ``value``; NULL when unreadable."""
        if self.kind == "order" or self.unit:
            return self._number(value)
        value = f"trim({value})"
        if self.digits:
            value = f"split_part({value}, '.', 1)"
            if self.digits == 8:
                value = f"CASE WHEN strlen({value}) = 7 THEN '0' || {value} ELSE {value} END"
        tries = [_parsed(value, form) for form in self.formats or (WRITTEN_ISO,)]
        parsed = f"epoch_us(coalesce({', '.join(tries)}))" if len(tries) > 1 else f"epoch_us({tries[0]})"
        sound = f"{value} <> 'epoch' AND NOT regexp_matches({value}, '{OFFSET_TOO_FAR}')"
        return f"(CASE WHEN abs({parsed}) < 9000000000000000 AND {sound} THEN {parsed} * 1000 END)"

    def _number(self, value: str) -> str:
        fraction = f"try_cast({value} AS DECIMAL(28, 9))"
        if self.unit == "days":
            return f"try_cast(({fraction} - {EXCEL_EPOCH}) * 86400 * {SECOND} AS BIGINT)"
        factor = FACTORS[self.unit or "order"]
        limit = 9 * 10**18 // factor
        # a cast to a whole number would round 1.6 to 2
        whole = f"try_cast({value} AS BIGINT)"
        exact = f"CASE WHEN NOT contains({value}, '.') AND abs({whole}) < {limit} THEN {whole} * {factor} END"
        return f"coalesce({exact}, try_cast({fraction} * {factor} AS BIGINT))"


def _parsed(value: str, form: str) -> str:
    """SQL for the moment that the string ``value`` names in one format."""
    if form != WRITTEN_ISO:
        return f"try_strptime({value}, {_literal(form)})::TIMESTAMPTZ"
    plain = f"{value} < '3' AND {value} >= '0' AND NOT contains({value}, '(')"  # a cast also takes "infinity", "(BC)"
    return f"CASE WHEN {plain} THEN try_cast({value} AS TIMESTAMPTZ) END"


UNIX = {u: TimeFormat("seconds", f"unix time in {u}", unit=u) for u in ("s", "ms", "us", "ns")}
ORDER = TimeFormat("order", "numbers that give only an order")
ISO = TimeFormat("seconds", "ISO dates")
GIVEN = {**UNIX, "excel": TimeFormat("seconds", "Excel serial dates", unit="days"), "order": ORDER, "iso": ISO}
"""What the setting ``time_format`` may name beside a strptime format."""


def detect(values: Sequence[str], column: str, file: str, given: str | None = None) -> TimeFormat:
    """The format of a column from a sample of its values, or the one ``given``. UserError when most are not times."""
    filled = _filled(values)
    if not filled:
        raise UserError(
            f"Column {column!r} of {file} holds no times; "
            "name another with --column timestamp=NAME, or use none with --column timestamp="
        )
    if given is not None:
        form = _given(given)
        if share(form, filled) < 0.5:
            raise UserError(
                f"time_format {given!r} does not fit column {column!r} of {file} (for example {filled[0][:40]!r})."
            )
        return form
    found = guess(filled)
    if found is None:
        raise UserError(
            f"Column {column!r} of {file} does not hold times that can be read (for example {filled[0][:40]!r}); give "
            "another with --column timestamp=NAME, or say how they are written: --set time_format='%d.%m.%Y %H:%M'."
        )
    return found


def guess(filled: Sequence[str]) -> TimeFormat | None:
    """What most of these values are, None when they are no times and no numbers."""
    numbers = _numbers(filled)
    if np.isfinite(numbers).mean() >= 0.5:
        return _compact(filled) or _by_size(numbers)
    readings = _readings(filled)
    found = _likeliest(readings, filled)
    while found and share(found, filled) < 1 and (more := _joined(found, readings, filled)):
        found = _likeliest(more, filled)
    return found if found and share(found, filled) >= 0.5 else None


def _likeliest(readings: Sequence[TimeFormat], filled: Sequence[str]) -> TimeFormat | None:
    """The reading that fits most values, with those that fit as many and mean other times."""
    found = [(share(f, filled), _past(f, filled), f) for f in readings]
    best = max(((s, p) for s, p, _ in found), default=(0.0, 0.0))
    if not best[0]:
        return None
    meanings: dict[tuple[int | None, ...], TimeFormat] = {}
    for form in (f for s, p, f in found if (s, p) == best):
        meanings.setdefault(tuple(read(form, filled)), form)
    spans = {form: _span(times) for times, form in meanings.items()}
    first, *others = likely_years(spans)
    return replace(first, others=tuple(others))


def _joined(found: TimeFormat, readings: Sequence[TimeFormat], filled: Sequence[str]) -> list[TimeFormat]:
    """``found`` (and each reading tied with it) together with a reading of values that are written otherwise.

    Values of one shape are all read in one way: of 13/02/2020 and 02/14/2020 one is wrong, and none is guessed.
    """
    joined: dict[tuple[str, ...], TimeFormat] = {}
    for one in (replace(found, others=()), *found.others):
        mine = read(one, filled)
        shapes = {shape_of(v) for v, t in zip(filled, mine, strict=True) if t is not None}
        for other in readings:
            theirs = read(other, filled)
            new = {shape_of(v) for v, a, b in zip(filled, mine, theirs, strict=True) if a is None and b is not None}
            if new and not new & shapes:
                forms = dict.fromkeys((*(one.formats or (WRITTEN_ISO,)), *(other.formats or (WRITTEN_ISO,))))
                formats = tuple(sorted(forms, key=lambda f: f == WRITTEN_ISO))  # first the order of day and month
                joined.setdefault(formats, TimeFormat("seconds", f"{one.label}, {other.label}", formats=formats))
    return list(joined.values())


def likely_years(spans: Mapping[TimeFormat, int]) -> list[TimeFormat]:
    """Of readings with the time each makes the data span, those whose year stands where it changes least: a two-digit
    year in the place of the day would be another one every day."""
    first, last = ({f: s for f, s in spans.items() if _year_first(f) == side} for side in (True, False))
    if first and last:
        shorter, longer = sorted((first, last), key=lambda group: min(group.values()))
        if min(longer.values()) >= 3 * max(min(shorter.values()), DAY):
            return [f for f in spans if f in shorter]
    return list(spans)


def _year_first(form: TimeFormat) -> bool:
    return bool(form.formats) and form.formats[0][:2] in ("%y", "%Y")


def _span(times: Sequence[int | None]) -> int:
    known = [t for t in times if t is not None]
    return max(known) - min(known) if known else 0


def looks_like_time(values: Sequence[str]) -> bool:
    """Whether nearly all of ``values`` are dates, or numbers that only make sense as unix times."""
    filled = _filled(values)[:300]
    if not filled or any(len(v) > 40 or not any(c.isdigit() for c in v) for v in filled[:50]):
        return False
    numbers = _numbers(filled)
    if np.isfinite(numbers).mean() > 0.95:
        if _compact(filled) is not None:
            return True
        low = min(limit for _, limit in UNITS)
        return bool((numbers >= 7 * low).mean() > 0.95 and len({len(v.partition(".")[0]) for v in filled}) <= 2)
    found = guess(filled)
    return found is not None and found.kind == "seconds" and share(found, filled) > 0.95


def share(form: TimeFormat, values: Sequence[str]) -> float:
    """The share of ``values`` that ``form`` reads as a time after 1900."""
    return float(np.mean([t is not None and t > -70 * 366 * DAY for t in read(form, values)]))


def _past(form: TimeFormat, values: Sequence[str]) -> float:
    """The share of ``values`` that ``form`` reads as a time that has been."""
    now = time.time_ns() + DAY
    return float(np.mean([t is not None and t < now for t in read(form, values)]))


def read(form: TimeFormat, values: Sequence[str]) -> list[int | None]:
    """Nanoseconds (or billionths of an order) of each value, None where it cannot be read."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT {form.sql('trim(v)')} FROM (SELECT unnest(?::VARCHAR[]) AS v)"
        return [t for (t,) in connection.execute(query, [list(values)]).fetchall()]


def _given(given: str) -> TimeFormat:
    if given in GIVEN:
        return GIVEN[given]
    if "%" not in given:
        raise UserError(
            f"time_format {given!r} is neither one of {', '.join(GIVEN)} nor a pattern such as '%d.%m.%Y %H:%M'."
        )
    form = TimeFormat("seconds", in_words(given), formats=(given,))
    try:
        read(form, ["x"])
    except duckdb.Error as error:
        raise UserError(
            f"time_format {given!r} is no pattern for times: %Y, %m, %d, %H, %M, %S and the like are known."
        ) from error
    return form


def _by_size(numbers: np.ndarray) -> TimeFormat:
    finite = np.abs(numbers[np.isfinite(numbers)])
    size = float(np.median(finite))
    for unit, low in UNITS:
        if size >= low:
            return UNIX[unit]
    if float(finite.min()) > 20_000 and float(finite.max()) < 80_000 and bool((finite % 1).any()):
        return replace(ORDER, label=f"{ORDER.label} (Excel dates? Then --set time_format=excel)")
    return ORDER


def _compact(filled: Sequence[str]) -> TimeFormat | None:
    """Dates written as digits alone (20210820, 01032021, 202108201230, ...), unless they are any other numbers."""
    filled = [v for v in filled if v.strip("0.")]  # a zero among them stands for none
    length, formats = digit_formats(filled)
    forms = [TimeFormat("seconds", in_words(f), formats=(f,), digits=length) for f in formats]
    sure = [f for f in forms if f.formats[0].startswith("%Y") or _past(f, filled) >= 0.95]
    found = _likeliest(sure, filled)
    return found if found and share(found, filled) >= 0.95 else None


def _readings(filled: Sequence[str]) -> list[TimeFormat]:
    """What these texts could be, likeliest first."""
    shapes = Counter(map(shape_of, filled))
    commonest = [next(v for v in filled if shape_of(v) == s) for s, _ in shapes.most_common(12)]
    orders: dict[str, list[str]] = {}
    for value in commonest:
        for order, form in candidates(value):
            orders.setdefault(order, []).append(form)
    found = [ISO]
    for forms in orders.values():
        unique = tuple(dict.fromkeys(forms))
        found.append(TimeFormat("seconds", in_words(unique[0]), formats=unique))
    return found


_WORDS = {"d": "day", "m": "month", "b": "month", "B": "month", "Y": "year", "y": "year", "a": "weekday"}
_WORDS |= {"H": "hours", "I": "hours", "M": "minutes", "S": "seconds", "f": "fraction", "z": "zone", "A": "weekday"}
_EXAMPLE = datetime(2015, 10, 26, 14, 5, 30, tzinfo=UTC)


def in_words(form: str) -> str:
    """``%d/%m/%Y`` as "day/month/year (26/10/2015)"."""
    words = re.sub("%-?([a-zA-Z])", lambda found: _WORDS.get(found[1], found[0]), form)
    return f"{words} ({_EXAMPLE.strftime(form)})"


def _filled(values: Sequence[str]) -> list[str]:
    return [v.strip() for v in values if v.strip().lower() not in ABSENT]


def _numbers(values: Sequence[str]) -> np.ndarray:
    out = np.full(len(values), math.nan)
    for i, value in enumerate(values):
        try:
            out[i] = float(value)
        except ValueError:
            continue
    return out


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
