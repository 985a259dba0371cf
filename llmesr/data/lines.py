"""Delimited text that bulk reading cannot take, line by line: what departs from the rules is mended and counted, or
rejected under its own line number; no quote swallows the lines behind it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.dialect import Dialect, Flaw

MAX_SPAN = 1000
"""Lines one quoted cell may go over."""
MAX_CELLS = 1 << 20
BATCH_ROWS = 50_000
BATCH_CHARACTERS = 32_000_000
EXAMPLES = 5
ZERO = "holds a zero byte"
_NUMBER = re.compile(r"\s*[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?\s*")


@dataclass
class Record:
    """One record: the line it begins in, its cells, and why it cannot be used ("" if it can)."""

    line: int
    cells: list[str]
    reason: str = ""
    text: str = ""


@dataclass
class Departures:
    """What was mended: how often, and the first lines."""

    strays: int = 0
    stray_examples: list[str] = field(default_factory=list)
    longer: int = 0


class Records:
    """Iterates over the records of delimited text with ``width`` cells each.

    ``numeric``: columns that hold only numbers, by which a line inside a quoted cell is known for a row that a stray
    quote has swallowed. ``at``: how many lines stand before. ``departures`` grows while it is read.
    """

    def __init__(
        self, lines: Iterator[str], dialect: Dialect, width: int, numeric: Sequence[int] = (), at: int = 0
    ) -> None:
        self.dialect, self.width, self.numeric = dialect, width, tuple(numeric)
        self.departures = Departures()
        self._lines = lines
        self._ahead: deque[str] = deque()
        self._at = at

    def __iter__(self) -> Iterator[Record]:
        while (raw := self._next()) is not None:
            if not raw.strip():
                continue
            if "\0" in raw:
                yield Record(self._at, [], ZERO, raw.replace("\0", "").strip())
            elif "\r" in raw.rstrip("\r"):
                yield from self._several(raw)
            else:
                yield self._record(raw)

    def _record(self, raw: str) -> Record:
        line, text = self._at, raw.rstrip("\r")
        cells = self.dialect.split(text)
        if not isinstance(cells, Flaw) and self._fits(cells):
            return Record(line, self._cut(cells))
        if not isinstance(cells, Flaw):
            few = len(cells) < self.width
            return Record(line, [], "missing columns" if few else "too many columns", text)
        if cells.kind == "open" and (longer := self._over_lines(raw, cells.column)) is not None:
            return Record(line, longer)
        return self._mended(line, text)

    def _mended(self, line: int, text: str) -> Record:
        """A line whose quotes break the rules, read as it most likely was meant."""
        ways = [self.dialect.leniently(text), self.dialect.literally(text)]
        if "\\" + self.dialect.quote in text and self.dialect.escape != "\\":
            slashed = Dialect(self.dialect.delimiter, self.dialect.quote, "\\", self.dialect.spaces).split(text)
            ways = ways if isinstance(slashed, Flaw) else [slashed, *ways]
        for cells in ways:
            if self._fits(cells):
                self.departures.strays += 1
                if len(self.departures.stray_examples) < EXAMPLES:
                    self.departures.stray_examples.append(f"line {line}: {text.strip()[:120]}")
                return Record(line, self._cut(cells))
        return Record(line, [], "a quote in the wrong place", text)

    def _over_lines(self, raw: str, column: int) -> list[str] | None:
        """A cell that begins in ``column`` and goes over several lines, unless those look like rows of the table."""
        text = raw
        for number, following in enumerate(self._peek(), 1):
            text += "\n" + following
            if number > MAX_SPAN or len(text) > MAX_CELLS or "\0" in following:
                return None
            if self.dialect.quote not in following:
                if self._like_a_row(following):
                    return None
                continue
            cells = self.dialect.split(text.rstrip("\r"))
            if isinstance(cells, Flaw) and cells.kind == "open":
                if self._like_a_row(following):
                    return None
                continue
            if isinstance(cells, Flaw) or not self._fits(cells) or self._swallowed(following, column):
                return None
            for _ in range(number):
                self._next()
            return self._cut(cells)
        return None

    def _like_a_row(self, line: str) -> bool:
        cells = line.rstrip("\r").split(self.dialect.delimiter)
        if not self._fits(cells):
            return False
        return self._numeric(cells, self.width) if self.numeric else self.width > 2

    def _swallowed(self, line: str, column: int) -> bool:
        """Whether the line that closes a cell opened in ``column`` is a row of its own."""
        cells = line.rstrip("\r").split(self.dialect.delimiter)
        return self._fits(cells) and any(n < column for n in self.numeric) and self._numeric(cells, column)

    def _numeric(self, cells: Sequence[str], before: int) -> bool:
        return all(_NUMBER.fullmatch(cells[n]) or not cells[n].strip() for n in self.numeric if n < before)

    def _several(self, raw: str) -> Iterator[Record]:
        """A line with carriage returns in it: rows of their own where they fit, else part of a cell."""
        whole = self.dialect.split(raw.rstrip("\r"))
        parts = [p for p in raw.split("\r") if p.strip()]
        rows = [self.dialect.split(p) for p in parts]
        if all(not isinstance(r, Flaw) and self._fits(r) for r in rows):
            for number, row in enumerate(rows):
                self._at += number > 0
                yield Record(self._at, self._cut(list(map(str, row))))
        elif not isinstance(whole, Flaw) and self._fits(whole):
            yield Record(self._at, self._cut(whole))
        else:
            yield self._record(raw)

    def _fits(self, cells: Sequence[str]) -> bool:
        return len(cells) == self.width or (len(cells) == self.width + 1 and not cells[-1].strip())

    def _cut(self, cells: list[str]) -> list[str]:
        if len(cells) > self.width:
            self.departures.longer += 1
        return cells[: self.width]

    def _next(self) -> str | None:
        raw = self._ahead.popleft() if self._ahead else next(self._lines, None)
        self._at += raw is not None
        return None if raw is None else raw.removesuffix("\n")

    def _peek(self) -> Iterator[str]:
        for number in range(MAX_SPAN + 1):
            if number == len(self._ahead):
                line = next(self._lines, None)
                if line is None:
                    return
                self._ahead.append(line)
            yield self._ahead[number].removesuffix("\n")


def blocks(lines: Iterator[str], delimiter: str) -> Iterator[Record]:
    """Netflix Prize layout: a line ``1:`` names the movie of the lines ``user,rating,date`` below it."""
    movie = ""
    for number, raw in enumerate(lines, 1):
        text = raw.strip()
        cells = text.split(delimiter)
        if re.fullmatch(r"\d+:", text):
            movie = text[:-1]
        elif text and len(cells) == 3:
            yield Record(number, [cells[0], movie, *cells[1:]])
        elif text:
            yield Record(number, [], "missing columns" if len(cells) < 3 else "too many columns", text)


def opened(path: Path) -> TextIO:
    """Text with its line endings as they are; carriage returns alone end lines where there is no other ending."""
    with path.open("rb") as handle:
        start = handle.read(1 << 20)
    return path.open(encoding="utf-8-sig", newline="\r" if b"\r" in start and b"\n" not in start else "\n")


def numeric_columns(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Columns in which every filled cell of the sample is a number."""
    return [
        n
        for n in range(width)
        if any(r[n].strip() for r in rows) and all(_NUMBER.fullmatch(r[n]) or not r[n].strip() for r in rows)
    ]


def write_parquet(records: Iterator[Record], width: int, target: Path) -> Path:
    """Write good records as Parquet (``line``, ``c0`` ...), the others to ``.rejects`` (line, reason, text)."""
    schema = pa.schema([("line", pa.int64()), *((f"c{n}", pa.string()) for n in range(width))])
    wrong_schema = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
    with (
        pq.ParquetWriter(target, schema, compression="lz4", use_dictionary=False) as out,
        pq.ParquetWriter(rejects_of(target), wrong_schema) as wrong_out,
    ):
        for batch in _batches(records):
            good = [r for r in batch if not r.reason]
            wrong = [r for r in batch if r.reason]
            columns = list(zip(*(r.cells for r in good), strict=True)) or [()] * width
            lines = pa.array([r.line for r in good], pa.int64())
            out.write_table(pa.table([lines, *(pa.array(c, pa.string()) for c in columns)], schema=schema))
            if wrong:
                values = [[r.line for r in wrong], [r.reason for r in wrong], [r.text[:500] for r in wrong]]
                arrays = [pa.array(v, f.type) for v, f in zip(values, wrong_schema, strict=True)]
                wrong_out.write_table(pa.table(arrays, schema=wrong_schema))
    return target


def rejects_of(target: Path) -> Path:
    return target.with_suffix(".rejects")


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(map(len, record.cells)) + len(record.text)
        if len(batch) == BATCH_ROWS or size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
