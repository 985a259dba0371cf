"""How delimited text is written: delimiter, quotes, escapes; told from its first lines, and one line taken apart."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

DELIMITERS = (",", "\t", ";", "|", "::", "\x01", " ")
LOOK = 200
TITLES = 20
WORDS = {"tab": "\t", r"\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
csv.field_size_limit(1 << 24)


class Flaw(NamedTuple):
    """A quote that does not close before the end, or one in the wrong place, and the column it is in."""

    kind: Literal["open", "stray"]
    column: int


@dataclass(frozen=True)
class Dialect:
    """``quote`` is "" where quotes are only text; ``escape`` is what a quote inside a cell stands behind (itself or a
    backslash); ``spaces``: a quoted cell may stand behind spaces; ``skip``: lines before the table; ``above``: the
    first of them, if it is a title or a remark."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    spaces: bool = False
    skip: int = 0
    above: str = ""

    @cached_property
    def _quoted(self) -> re.Pattern[str]:
        q = re.escape(self.quote)
        inner = (
            rf"[^{q}\\]*+(?:(?:\\.|{q}{q})[^{q}\\]*+)*+" if self.escape == "\\" else rf"[^{q}]*+(?:{q}{q}[^{q}]*+)*+"
        )
        return re.compile(rf"{' *' if self.spaces else ''}{q}({inner}){q}{' *' if self.spaces else ''}", re.DOTALL)

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile(rf"{' *' if self.spaces else ''}{re.escape(self.quote)}")

    def split(self, text: str) -> list[str] | Flaw:
        """The cells of one record by the rules, or what is wrong with its quotes."""
        if not self.quote or self.quote not in text:
            return text.split(self.delimiter)
        cells: list[str] = []
        at, width = 0, len(self.delimiter)
        while True:
            if self._opening.match(text, at):
                match = self._quoted.match(text, at)
                if match is None:
                    return Flaw("open", len(cells))
                cells.append(self._plain(match[1]))
                end = match.end()
                if end < len(text) and not text.startswith(self.delimiter, end):
                    return Flaw("stray", len(cells) - 1)
            else:
                end = text.find(self.delimiter, at)
                end = len(text) if end < 0 else end
                cells.append(text[at:end])
            if end >= len(text):
                return cells
            at = end + width

    def flaw(self, line: str) -> str | None:
        """What is wrong with the quotes of a line."""
        cells = self.split(line.rstrip("\r"))
        return cells.kind if isinstance(cells, Flaw) else None

    def literally(self, text: str) -> list[str]:
        """The cells with quotes as text, but for a pair around a whole cell."""
        return [self._bare(cell) for cell in text.split(self.delimiter)]

    def leniently(self, text: str) -> list[str]:
        """The cells where a quote closes only in front of a delimiter or the end, and others inside are text."""
        q, d = re.escape(self.quote), re.escape(self.delimiter)
        cell = re.compile(rf" *{q}(.*?){q} *(?={d}|$)|([^{d[-1]}]*)" if len(self.delimiter) == 1 else "$^", re.DOTALL)
        cells: list[str] = []
        at = 0
        while True:
            match = cell.match(text, at)
            if match is None:
                return text.split(self.delimiter)
            cells.append(self._plain(match[1]) if match[1] is not None else match[0])
            if match.end() >= len(text):
                return cells
            if not text.startswith(self.delimiter, match.end()):
                return text.split(self.delimiter)
            at = match.end() + len(self.delimiter)

    def _plain(self, inner: str) -> str:
        if self.escape == "\\":
            inner = re.sub(r'\\(["\'\\])', r"\1", inner)
        return inner.replace(self.quote * 2, self.quote)

    def _bare(self, cell: str) -> str:
        tight = cell.strip(" ")
        if len(tight) > 1 and tight[0] == tight[-1] == self.quote:
            return self._plain(tight[1:-1])
        return cell


def sniff(text: str, delimiter: str | None = None, quote: str | None = None) -> Dialect | None:
    """The dialect under which most rows have the same number (2 or more) of cells; None when there is none.

    ``delimiter`` and ``quote`` ("" or "none" for no quoting) are what is known already.
    """
    skip = 0
    excel = re.match(r"sep=(.)\r?\n", text)
    if excel:
        skip, text, delimiter = 1, text[excel.end() :], delimiter or excel[1]
    delimiters = (WORDS.get(delimiter, delimiter),) if delimiter else DELIMITERS
    best: tuple[float, Dialect] | None = None
    for candidate in delimiters:
        dialect = _quoting(text, candidate, quote)
        share, width = _agreement(text, dialect)
        if width < 2:
            continue
        # a space is only believed when nothing else works
        share -= 0.5 if candidate == " " and not delimiter else 0
        if best is None or share > best[0] + 1e-9:
            best = (share, dialect)
    if best is None or (best[0] <= 0.3 and not delimiter):
        return None
    lines, title = (0, "") if skip else _titles(text, best[1])
    return replace(best[1], skip=skip + lines, above=title)


def _titles(text: str, dialect: Dialect) -> tuple[int, str]:
    """How many lines above a table are titles, remarks or empty (at most TITLES), and the first of them.

    Such a line fills one cell, or has at most half as many as the table, where the row below them has all.
    """
    width = _agreement(text, dialect)[1]
    first = ""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text)[: TITLES + 1]):
        cells = dialect.split(line)
        if isinstance(cells, Flaw):
            return 0, ""
        filled = sum(bool(c.strip()) for c in cells)
        if filled > 1 and len(cells) >= width and not line.startswith("#"):
            return (number, first) if first else (0, "")
        few = filled <= 1 or len(cells) <= width // 2
        if (not few or (filled and not cells[0].strip())) and not line.startswith("#"):
            return 0, ""
        if any(line.count(mark) >= max(1, width - 2) for mark in "^~,;|\t" if mark not in dialect.delimiter):
            return 0, ""  # names of columns, apart by something else than the rows
        first = first or line.strip(" \t" + dialect.delimiter)
    return 0, ""


def _quoting(text: str, delimiter: str, quote: str | None) -> Dialect:
    plain = Dialect(delimiter, "", "")
    if quote is not None:
        if quote in ("", "none"):
            return plain
        tried = Dialect(delimiter, quote, quote)
    else:
        tried = Dialect(delimiter)
        if '"' not in text and _wrapped(text, delimiter, "'"):
            tried = Dialect(delimiter, "'", "'")
    lines = [line for line in text.split("\n")[: 5 * LOOK] if tried.quote in line]
    if not lines:
        return tried
    options = [tried, replace(tried, escape="\\")] if f"\\{tried.quote}" in text else [tried]
    if f"{delimiter} {tried.quote}" in text:
        options = [*(replace(d, spaces=True) for d in options), *options]
    flaws = [sum(d.flaw(line) is not None for line in lines) for d in options]
    chosen = options[flaws.index(min(flaws))]
    # quotes that mostly stand inside or before other text are text, if the table is sound without them
    stray = sum(chosen.flaw(line) == "stray" and chosen.literally(line) == line.split(delimiter) for line in lines)
    if quote is None and stray > len(lines) / 2 and _agreement(text, plain)[0] >= _agreement(text, chosen)[0]:
        return plain
    return chosen


def _wrapped(text: str, delimiter: str, quote: str) -> bool:
    """Whether a cell of most lines begins and ends with ``quote``."""
    rows = [line.rstrip("\r").split(delimiter) for line in text.split("\n")[:LOOK] if line.strip()]
    cells = [any(len(c) > 1 and c[0] == c[-1] == quote for c in (c.strip(" ") for c in row)) for row in rows]
    return bool(rows) and sum(cells) > len(rows) / 2


def _agreement(text: str, dialect: Dialect) -> tuple[float, int]:
    """The number of cells of the first row or of most, and the share of the first rows that have it (one empty cell
    more at their end aside)."""
    rows = _rows(text, dialect)
    if not rows:
        return 0.0, 0
    tried = {len(rows[0]), Counter(map(len, rows)).most_common(1)[0][0]}
    shares = {w: sum(len(r) == w or (len(r) == w + 1 and not r[-1].strip()) for r in rows) for w in tried if w > 1}
    width = max(shares, key=lambda w: shares[w], default=0)
    return shares.get(width, 0) / len(rows), width


def _rows(text: str, dialect: Dialect) -> list[list[str]]:
    if len(dialect.delimiter) > 1 or not dialect.quote:
        lines = (line for line in re.split(r"\r\n|\n|\r", text[: 1 << 18]) if line.strip())
        return [line.split(dialect.delimiter) for _, line in zip(range(LOOK), lines, strict=False)]
    doubled = dialect.escape != "\\"
    reader = csv.reader(
        io.StringIO(text.replace("\0", ""), newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        doublequote=doubled,
        escapechar=None if doubled else "\\",
        skipinitialspace=dialect.spaces,
    )
    rows: list[list[str]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) == LOOK:
                break
    except csv.Error:
        pass  # what was read so far tells
    return rows
