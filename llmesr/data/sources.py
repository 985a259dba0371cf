"""What a file holds: its layout, delimiter, header and columns, told from its beginning."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from llmesr.config import IngestConfig
from llmesr.data.by_lines import blocks
from llmesr.data.columns import ACCEPTED, Guess, guess_interactions, guess_items, plain
from llmesr.data.dialect import Dialect, sniff
from llmesr.data.files import HEAD, decode, head
from llmesr.data.heads import CELL, SAMPLE_ROWS, Head, json_head, parquet_head, rows_for
from llmesr.data.lines import Records, numeric_columns
from llmesr.data.times import looks_like_time
from llmesr.errors import UserError

Layout = Literal["csv", "json", "json array", "literals", "parquet", "blocks"]
MAX_COLUMNS = 10_000
LOOKED = 1 << 16
"""Characters that are taken apart at once for a sample."""
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One input file. ``sample`` holds the first rows as strings, ``""`` where there is nothing, long cells cut."""

    path: Path
    layout: Layout
    columns: list[str]
    sample: pd.DataFrame
    dialect: Dialect = field(default_factory=Dialect)
    header: bool = True
    flags: tuple[str, ...] = ()
    """Columns of 0 and 1 that together are the item's genres (MovieLens 100K)."""
    types: tuple[str, ...] = ()
    """Parquet column types, or those a RecBole header gives."""
    repeated: tuple[str, ...] = ()
    """Names that several columns have."""
    nested: tuple[str, ...] = ()
    """Columns with objects or lists in them."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def delimited(self) -> bool:
        return self.layout in ("csv", "blocks")

    @cached_property
    def numeric(self) -> list[int]:
        """Columns that hold only numbers, as far as the sample goes."""
        return numeric_columns(self.sample.to_numpy().tolist(), len(self.columns))

    @cached_property
    def interaction_guess(self) -> dict[str, Guess]:
        return guess_interactions(self.columns, self.sample)

    @cached_property
    def item_guess(self) -> dict[str, Guess]:
        return guess_items(self.columns)


class Preview(NamedTuple):
    """What the upload page shows: columns, first rows, and the guess for interactions (or for items)."""

    columns: list[str]
    rows: pd.DataFrame
    mapping: dict[str, Guess]
    role: Literal["interactions", "items", "unknown"]


# files without a header whose names are known: delimiter, columns
NAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    "u.data": ("\t", ("user_id", "item_id", "rating", "timestamp")),
    "u.item": ("|", ("item_id", "title", "release_date", "video_release_date", "url", *GENRES_100K)),
    "ratings.dat": ("::", ("user_id", "item_id", "rating", "timestamp")),
    "movies.dat": ("::", ("item_id", "title", "genres")),
    "u.user": ("|", ("user_id", "age", "gender", "occupation", "zip_code")),
    "users.dat": ("::", ("user_id", "gender", "age", "occupation", "zip_code")),
    "inter.txt": (" ", ("user_id", "item_id")),
}
AMAZON_2014_RATINGS = ("user_id", "item_id", "rating", "timestamp")  # ratings_Beauty.csv has no header


def preview(path: Path, rows: int = 50) -> Preview:
    """Look at the beginning of a file without reading all of it. UserError when it cannot be used."""
    source = describe(Path(path))
    interactions, items = source.interaction_guess, source.item_guess
    role: Literal["interactions", "items", "unknown"] = "unknown"
    found = [interactions[f].confidence for f in ("user_id", "item_id") if f in interactions]
    described = items["item_id"].confidence if "item_id" in items else 0.0
    if len(found) == 2 and min(found) >= min(described, ACCEPTED):
        role = "interactions"
    elif described:
        role = "items"
    return Preview(source.columns, source.sample.head(rows), items if role == "items" else interactions, role)


def describe(path: Path, config: IngestConfig | None = None) -> Source:
    """Find out how to read a file, with what ``config`` says of it. UserError when it is empty, binary, or without
    columns."""
    encoding = config.encoding if config else None
    start = head(path, encoding)
    if start[:4] == b"PAR1":
        return _of_head(path, "parquet", parquet_head(path))
    text = decode(start, encoding)
    if not text.strip():
        raise UserError(f"{path.name} is empty; give a file with interactions.")
    given = config or IngestConfig(name="x")
    stated = given.delimiter is not None or given.quote is not None
    if text.lstrip()[:1] in "{[" and not stated:
        layout, found = json_head(path, text)
        return _of_head(path, layout, found)
    name = path.name.removesuffix(".gz")
    if name in NAMED and not stated and given.header is None:
        delimiter, columns = NAMED[name]
        source = _table(path, text, Dialect(delimiter, "", ""), list(columns))
        return replace(source, flags=GENRES_100K if name == "u.item" else ())
    if name.endswith((".inter", ".item", ".user")) and ":" in text.splitlines()[0]:
        return _atomic(path, text)
    if re.match(r"\d+:\s*\n\d+,", text):
        return _netflix(path, text)
    dialect = _dialect(path, text, given, whole=len(start) < HEAD)
    if re.match(r"ratings_.*\.csv$", name) and given.header is None:
        first = _rows(text, dialect, 4)
        if len(first[0]) == 4 and not _names_columns(first):
            return _table(path, text, dialect, list(AMAZON_2014_RATINGS))
    return _table(path, text, dialect, header=given.header)


def _dialect(path: Path, text: str, given: IngestConfig, *, whole: bool) -> Dialect:
    """How the beginning of a file is delimited; ``whole``: it is all of the file. UserError when there is nothing that
    could tell."""
    if not whole and "\n" not in text.strip():
        raise UserError(
            f"{path.name} has a line of more than a megabyte where its first row should be; look there for a quotation "
            "mark that is not closed, or for missing line breaks."
        )
    found = sniff(text, given.delimiter, given.quote)
    if found is None:
        raise UserError(_one_column(path, text.splitlines()[0]))
    return found


def _of_head(path: Path, layout: Layout, found: Head) -> Source:
    _check_columns(path, found.columns)
    return Source(path, layout, found.columns, found.sample, types=found.types, nested=found.nested)


def _rows(text: str, dialect: Dialect, width: int, numeric: Sequence[int] = ()) -> list[list[str]]:
    """The first good rows of ``width`` cells, as the whole file is read too."""
    lines = io.StringIO(text, newline="" if "\n" not in text else "\n")
    for _ in range(dialect.skip):
        lines.readline()
    limit = rows_for(width) + 1
    rows: list[list[str]] = []
    for batch in Records(lines, dialect, width, numeric).batches(LOOKED):
        rows += [[cell[:CELL] for cell in cells] for cells in batch.rows[: limit - len(rows)]]
        if len(rows) == limit:
            break
    return rows


def _table(
    path: Path, text: str, dialect: Dialect, columns: list[str] | None = None, header: bool | None = None
) -> Source:
    """A delimited table; ``columns`` are known for files without a header."""
    first = _first_row(text, dialect)
    raw = columns or first
    _check_columns(path, raw)
    rows = _rows(text, dialect, len(raw))
    rows = _rows(text, dialect, len(raw), numeric_columns(rows[1:], len(raw)))
    if columns is not None:
        header = False
    elif header is None:
        header = not rows or _names_columns(rows)
    names = columns or (first if header else [f"column{i}" for i in range(1, len(first) + 1)])
    body = rows[1:] if header and rows and rows[0] == [c[:CELL] for c in first] else rows
    if not body:
        raise UserError(_no_rows(path, text, dialect, raw, header))
    unique = _unique(names)
    sample = pd.DataFrame(body[: rows_for(len(raw))], columns=unique, dtype="str").fillna("")
    repeated = tuple(n for n in dict.fromkeys(names) if n.strip() and names.count(n) > 1)
    return Source(path, "csv", unique, sample, dialect, header, repeated=repeated)


def _first_row(text: str, dialect: Dialect) -> list[str]:
    """The cells of the first line that has any; an empty one at its end is a trailing delimiter."""
    lines = re.split(r"\r\n|\n|\r", text)[dialect.skip :]
    line = next(line for line in lines if line.strip())
    cells = dialect.split(line)
    return dialect.literally(line) if not isinstance(cells, list) else cells


def _one_column(path: Path, line: str) -> str:
    return (
        f"{path.name} has only one column in its first line ({line[:60]!r}); separate the columns by comma, tab, "
        "semicolon, '|', '::' or space, the same in every line, or say --set delimiter=..."
    )


def _no_rows(path: Path, text: str, dialect: Dialect, columns: Sequence[str], header: bool) -> str:
    lines = [line for line in re.split(r"\r\n|\n|\r", text)[dialect.skip :] if line.strip()]
    if header and len(lines) == 1:
        return f"{path.name} has a header but no rows; give a file with interactions or items."
    cells = dialect.literally(lines[-1])
    if header and len(columns) == 1:
        return _one_column(path, lines[0])
    if header:
        return (
            f"{path.name}: rows have {len(cells)} cells, the header {len(columns)} ({', '.join(columns)[:80]}); "
            "give every column a name."
        )
    return f"{path.name} should have {len(columns)} columns ({', '.join(columns)}) and has {len(cells)}."


def _atomic(path: Path, text: str) -> Source:
    """RecBole atomic file: tab-separated, header ``name:type``, no quoting."""
    source = _table(path, text, Dialect("\t", "", ""), header=True)
    names = _unique([c.partition(":")[0] for c in source.columns])
    types = tuple(c.partition(":")[2] for c in source.columns)
    return replace(source, columns=names, sample=source.sample.set_axis(names, axis=1), types=types)


def _netflix(path: Path, text: str) -> Source:
    """Netflix Prize: a line ``1:`` names the movie of the lines below it."""
    columns = ["user_id", "item_id", "rating", "timestamp"]
    found = blocks(io.StringIO(text), ",")
    rows = list(islice((row for batch in found for row in batch.rows), SAMPLE_ROWS))
    sample = pd.DataFrame(rows, columns=columns, dtype="str")
    return Source(path, "blocks", columns, sample, Dialect(",", "", ""), header=False)


def _names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is a header: not data by its values, nor by what the rows below it hold."""
    first, body = rows[0], [r for r in rows[1:] if r != rows[0]]
    known = {"userid", "itemid", "timestamp", "rating", "title", "movieid", "asin"}
    if len({plain(c) for c in first} & known) >= 2:
        return True
    if any(re.fullmatch(r"-?\d+([.,]\d+)?([eE]\d+)?", c.strip()) for c in first) or looks_like_time_cell(first):
        return False
    columns = list(zip(*body, strict=True))
    for name, values in zip(first, columns, strict=False):
        filled = [v for v in values if v]
        if name and name in filled:  # nobody writes a column's name into the column
            return False
        shapes = {re.sub(r"\d+", "9", v) for v in filled[:50]}
        if any(c.isdigit() for c in name) and len(filled) > 2 and shapes == {re.sub(r"\d+", "9", name)}:
            return False
    return True


def looks_like_time_cell(cells: Sequence[str]) -> bool:
    """Whether one of the cells is a date."""
    return any(len(c) > 7 and looks_like_time([c]) for c in cells if sum(map(str.isdigit, c)) > 3)


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        raise UserError(f"{path.name} has {len(columns):,} columns; at most {MAX_COLUMNS:,} can be read.")


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _unique(names: Sequence[str]) -> list[str]:
    """Usable column names: blank ones numbered, repeated ones given a suffix."""
    seen: dict[str, int] = {}
    result = []
    for i, raw in enumerate(names, 1):
        name = raw.strip().strip('"').strip() or f"column{i}"
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
