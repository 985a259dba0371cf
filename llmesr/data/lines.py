"""Delimited text that bulk reading cannot take, line by line: what departs from the rules is mended and counted, or
rejected under its own line number; no quote swallows the lines behind it."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from llmesr.data.dialect import Dialect, Flaw
from llmesr.errors import UserError

MAX_SPAN = 1000
"""Lines one quoted cell may go over."""
MAX_CELLS = 1 << 20
MAX_LINE = 16_000_000
BATCH = 2_000_000
"""Characters that are read at once, but for a line that is longer."""
KEPT = 500
"""Characters kept of a line that cannot be used."""
EXAMPLES = 5
FEW, MANY = "missing columns", "too many columns"
MAX_STRAYS, MAX_STRAY_SHARE = 300_000, 0.05
"""Lines with a quotation mark in the wrong place, whether they can be mended or not, after which a person is asked: so
many, and such a share of all."""
MAX_VAIN, MAX_VAIN_SHARE = 20_000_000, 4
"""Characters that are gone through in search of a closing quote that does not come: so many, and so many times what was
read."""
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


@dataclass
class Batch:
    """Some lines of a file: the numbers and cells of those that are records, and why others are none."""

    lines: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)
    """Line, reason, text."""
    read: int = 0
    """Characters of the file that were read when it was full."""

    def add(self, record: Record) -> None:
        if record.reason:
            self.wrong.append((record.line, record.reason, record.text[:KEPT]))
        else:
            self.lines.append(record.line)
            self.rows.append(record.cells)


class Records:
    """The records of delimited text with ``width`` cells each, in batches.

    ``numeric``: columns that hold only numbers, by which a line inside a quoted cell is known for a row that a stray
    quote has swallowed. ``at``: how many lines stand before. ``departures`` and ``read``, the number of characters,
    grow while it is read.
    """

    def __init__(self, text: TextIO, dialect: Dialect, width: int, numeric: Sequence[int] = (), at: int = 0) -> None:
        self.dialect, self.width, self.numeric = dialect, width, tuple(numeric)
        self.departures = Departures()
        self.read = 0
        self._strays = self._vain = 0
        self._text = text
        self._ahead: deque[str] = deque()
        self._behind: list[Record] = []
        self._at = at

    def leave_out_first(self) -> None:
        """Pass over the first record: it is the header."""
        while (raw := self._next()) is not None:
            if found := list(self._judged(raw)):
                self._behind = found[1:]  # where carriage returns stand between them
                return

    def batches(self, characters: int | None = None) -> Iterator[Batch]:
        """``characters`` are read at once: BATCH when None."""
        while self._read(characters or BATCH) or self._ahead or self._behind:
            batch = Batch()
            while self._behind:
                batch.add(self._behind.pop(0))
            self._take(batch)
            batch.read = self.read
            if self._strays > max(MAX_STRAYS, self._at * MAX_STRAY_SHARE):
                raise self._unquotable(f"{self._strays:,} lines hold a quotation mark in the wrong place")
            yield batch

    def _unquotable(self, what: str) -> UserError:
        examples = self.departures.stray_examples
        such = f" (such as {examples[0]!r})" if examples else ""
        return UserError(
            f"{what}{such}, among the first {self._at:,}. If quotes are only text in this file, say --set quote=none; "
            "otherwise write it again."
        )

    def _read(self, characters: int) -> bool:
        lines = self._text.readlines(characters)
        self.read += sum(map(len, lines))
        self._ahead.extend(lines)
        return bool(lines)

    def _take(self, batch: Batch) -> None:
        """The lines that have been read, but for those that this reads ahead. Plain ones, without quotes, are judged
        right here: that is ten times as fast, and a file may hold millions of them."""
        ahead, delimiter, width, quote = self._ahead, self.dialect.delimiter, self.width, self.dialect.quote or "\0"
        last = self._at + len(ahead)
        while self._at < last:
            raw = ahead.popleft()
            self._at += 1
            if raw == "\n":
                continue
            text = raw.removesuffix("\n").rstrip("\r")
            if "\r" in text or "\0" in text or len(text) > MAX_LINE:
                cells = None
            elif quote in text:
                cells = self._by_the_rules(text)
            elif text and not text.isspace():
                cells = text.split(delimiter)
            else:
                continue
            if cells is None:
                for record in self._judged(raw.removesuffix("\n")):
                    batch.add(record)
                continue
            if len(cells) == width:
                batch.lines.append(self._at)
                batch.rows.append(cells)
            elif self._fits(cells):
                batch.lines.append(self._at)
                batch.rows.append(self._cut(cells))
            else:
                batch.wrong.append((self._at, FEW if len(cells) < width else MANY, text[:KEPT]))

    def _by_the_rules(self, text: str) -> list[str] | None:
        """The cells of a line with quotes that breaks no rule; None for one that has to be looked at."""
        d = self.dialect
        if len(d.delimiter) != 1 or d.escape != d.quote or d.spaces:
            return None
        try:
            return next(csv.reader((text,), delimiter=d.delimiter, quotechar=d.quote, strict=True))
        except csv.Error:
            return None

    def _judged(self, raw: str) -> Iterator[Record]:
        """What a line holds: nothing, a record, or several with carriage returns between them."""
        if not raw.strip():
            return
        if len(raw) > MAX_LINE:
            yield Record(self._at, [], f"longer than {MAX_LINE:,} characters", raw[:KEPT].replace("\0", ""))
        elif "\0" in raw:
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
            return Record(line, [], FEW if len(cells) < self.width else MANY, text)
        if cells.kind == "open" and (longer := self._over_lines(raw, cells.column)) is not None:
            return Record(line, longer)
        return self._mended(line, text)

    def _mended(self, line: int, text: str) -> Record:
        """A line whose quotes break the rules, read as it most likely was meant."""
        self._strays += 1
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
        text, tried = raw, 0
        for number, following in enumerate(self._peek(), 1):
            text += "\n" + following
            if number > MAX_SPAN or len(text) > MAX_CELLS or "\0" in following:
                return None
            if self.dialect.quote not in following:
                if self._like_a_row(following):
                    return None
                continue
            cells = self.dialect.split(text.rstrip("\r"))
            self._vain += len(text)
            tried += len(text)
            if self._vain > max(MAX_VAIN, self.read * MAX_VAIN_SHARE):
                raise self._unquotable("Quotation marks open and do not close")
            if isinstance(cells, Flaw) and cells.kind == "open":
                if cells.column > self.width or self._like_a_row(following):
                    return None
                continue
            if isinstance(cells, Flaw) or not self._fits(cells) or self._swallowed(following, column):
                return None
            self._vain -= tried
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
        rows = (self.dialect.split(p) for p in parts)
        if all(not isinstance(r, Flaw) and self._fits(r) for r in rows):
            for number, part in enumerate(parts):
                self._at += number > 0
                yield Record(self._at, self._cut([str(cell) for cell in self.dialect.split(part)]))
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
        if not self._ahead and not self._read(1):
            return None
        self._at += 1
        return self._ahead.popleft().removesuffix("\n")

    def _peek(self) -> Iterator[str]:
        for number in range(MAX_SPAN + 1):
            if number == len(self._ahead) and not self._read(1):
                return
            yield self._ahead[number].removesuffix("\n")


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
