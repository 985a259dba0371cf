"""What a column of times means: unix seconds to nanoseconds, dates as text, or only an order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np

from llmesr.errors import UserError

DAY_US = 86_400_000_000
# the size of a number tells its unit: 1e8 s is 1973, and so on by factors of a thousand
UNITS = (("ns", 1e17, 0.001), ("us", 1e14, 1), ("ms", 1e11, 1_000), ("s", 1e8, 1_000_000))
FORMATS = (
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%m %d, %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y",
    "%d-%b-%Y", "%Y.%m.%d", "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip


@dataclass(frozen=True)
class TimeFormat:
    """How to read a time column.

    ``kind`` "seconds": real time, handled in microseconds and stored in seconds; "order": numbers
    too small to be dates, kept as they are. ``label`` says it in words.
    """

    kind: Literal["seconds", "order"]
    label: str
    unit: str = ""
    formats: tuple[str, ...] = ()
    ambiguous: bool = False

    def sql(self, value: str) -> str:
        """SQL for microseconds (or the order) of the string expression ``value``; NULL when unreadable."""
        if self.formats or (not self.unit and self.kind == "seconds"):
            tries = [f"try_cast({value} AS TIMESTAMPTZ)"]
            tries += [f"try_strptime({value}, '{f}')::TIMESTAMPTZ" for f in self.formats]
            return f"epoch_us(coalesce({', '.join(tries)}))"
        number = f"coalesce(try_cast({value} AS BIGINT), try_cast(try_cast({value} AS DOUBLE) AS BIGINT))"
        if self.kind == "order" or self.unit == "us":
            return number
        if self.unit == "ns":
            return f"({number} // 1000)"
        factor, limit = (1_000_000, 10**12) if self.unit == "s" else (1_000, 10**15)
        return f"(CASE WHEN abs({number}) < {limit} THEN {number} * {factor} END)"


def looks_like_time(values: list[str]) -> bool:
    """Whether nearly all of ``values`` are dates, or numbers that only make sense as unix times."""
    filled = [v for v in values if v.strip()]
    if not filled or any(len(v) > 40 or not any(c.isdigit() for c in v) for v in filled[:50]):
        return False
    numbers = _numbers(filled)
    if np.isfinite(numbers).mean() > 0.95:
        low = min(limit for _, limit, _ in UNITS)
        return bool((numbers >= 7 * low).mean() > 0.95 and len({len(v.partition(".")[0]) for v in filled}) <= 2)
    return max(_shares([(), *((f,) for f in FORMATS)], filled)) > 0.95


def detect(values: list[str], column: str, file: str) -> TimeFormat:
    """The format of a column from a sample of its values. UserError when most are not times."""
    filled = [v for v in values if v.strip() and v.strip().lower() not in ("nan", "null", "none", "nat")]
    if not filled:
        raise UserError(
            f"Column {column!r} of {file} holds no times; "
            "name another with --column timestamp=NAME, or use none with --column timestamp="
        )
    numbers = _numbers(filled)
    if np.isfinite(numbers).mean() >= 0.5:
        size = float(np.median(np.abs(numbers[np.isfinite(numbers)])))
        for unit, low, _ in UNITS:
            if size >= low:
                return TimeFormat("seconds", f"unix time in {unit}", unit=unit)
        return TimeFormat("order", "numbers that give only an order")
    share, *others = _shares([(), *((f,) for f in FORMATS)], filled)
    best = TimeFormat("seconds", "ISO dates")
    shares = dict(zip(FORMATS, others, strict=True))
    for form, value in shares.items():
        if value > share:
            swapped = form.replace("%m/%d", "%d/%m") if "%m/%d" in form else form.replace("%d/%m", "%m/%d")
            unclear = swapped != form and shares.get(swapped) == value
            best, share = TimeFormat("seconds", f"dates like {form}", formats=(form,), ambiguous=unclear), value
    if share < 0.5:
        raise UserError(
            f"Column {column!r} of {file} does not hold times (for example {filled[0][:40]!r}); "
            "give another with --column timestamp=NAME, or convert it to ISO dates or unix seconds."
        )
    return best


def _numbers(values: list[str]) -> np.ndarray:
    out = np.full(len(values), math.nan)
    for i, value in enumerate(values):
        try:
            out[i] = float(value)
        except ValueError:
            continue
    return out


def _shares(formats: list[tuple[str, ...]], values: list[str]) -> list[float]:
    """The share of ``values`` each of ``formats`` can read (the empty one stands for ISO)."""
    tests = ", ".join(f"avg(({TimeFormat('seconds', '', formats=f).sql('v')} IS NOT NULL)::INT)" for f in formats)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(f"SELECT {tests} FROM (SELECT unnest(?::VARCHAR[]) AS v)", [values[:200]]).fetchall()
    return [float(share) for share in rows[0]]
