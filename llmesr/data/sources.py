"""What a file holds: its layout, delimiter, header and columns, told from its beginning."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import pandas as pd

from llmesr.data.columns import ACCEPTED, Guess, guess_interactions, guess_items
from llmesr.data.files import decode, head, is_gzip, literal_to_json
from llmesr.errors import UserError

SAMPLE_ROWS = 1000
DELIMITERS = (",", "\t", ";", "|", " ")
csv.field_size_limit(1 << 24)

Layout = Literal["csv", "json", "json array", "literals", "parquet"]
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One input file. ``sample`` holds the first rows as strings, ``""`` where there is nothing."""

    path: Path
    layout: Layout
    columns: list[str]
    sample: pd.DataFrame
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    flags: tuple[str, ...] = ()
    """Columns of 0 and 1 that together are the item's genres (MovieLens 100K)."""
    types: tuple[str, ...] = ()
    """Parquet column types."""

    @property
    def name(self) -> str:
        return self.path.name

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


def describe(path: Path) -> Source:
    """Find out how to read a file. UserError when it is empty, binary, or has no columns."""
    start = head(path)
    if start[:4] == b"PAR1":
        return _parquet(path)
    text = decode(start)
    if not text.strip():
        raise UserError(f"{path.name} is empty; give a file with interactions.")
    name = path.name.removesuffix(".gz")
    first = text.lstrip()[:1]
    if first in "{[":
        return _json(path, text)
    if name in NAMED:
        delimiter, columns = NAMED[name]
        source = _table(path, text, delimiter, quote="", columns=list(columns))
        return replace(source, flags=GENRES_100K if name == "u.item" else ())
    if name.endswith((".inter", ".item")) and ":" in text.splitlines()[0]:
        return _atomic(path, text)
    if re.match(r"ratings_.*\.csv$", name) and _is_data(text.splitlines()[0].split(",")):
        return _table(path, text, ",", columns=list(AMAZON_2014_RATINGS))
    delimiter, quote = _sniff(path, text)
    return _table(path, text, delimiter, quote)


def _rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    lines = io.StringIO(text)
    if len(delimiter) > 1:
        return [line.rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
    if quote:
        found: Iterable[list[str]] = csv.reader(lines, delimiter=delimiter, quotechar=quote)
    else:
        found = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    rows = []
    for row in found:
        if row:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS:
            break
    return rows


def _sniff(path: Path, text: str) -> tuple[str, str]:
    """Delimiter and quote: the pair under which most rows have the same number (2 or more) of cells."""
    best: tuple[float, int, str, str] | None = None
    for delimiter in DELIMITERS:
        for quote in ('"', ""):
            try:
                widths = [len(r) for r in _rows(text, delimiter, quote)[:200]]
            except csv.Error:
                continue
            width = widths[0] if widths else 0
            if width < 2:
                continue
            agreement = sum(w == width for w in widths) / len(widths)
            # a space is only believed when nothing else works
            rank = (round(agreement - (0.5 if delimiter == " " else 0), 3), bool(quote), delimiter, quote)
            if best is None or rank[:2] > best[:2]:
                best = rank
    if best is None or best[0] <= 0.3:
        line = text.splitlines()[0][:60]
        raise UserError(
            f"{path.name} has only one column in its first line ({line!r}); "
            "separate the columns by comma, tab, semicolon, '|' or space, the same in every line."
        )
    return best[2], best[3]


def _table(path: Path, text: str, delimiter: str, quote: str = '"', columns: list[str] | None = None) -> Source:
    rows = _rows(text, delimiter, quote)
    header = columns is None and not _is_data(rows[0])
    if columns is None:
        columns = _unique(rows[0]) if header else [f"column{i}" for i in range(1, len(rows[0]) + 1)]
    body = rows[1:] if header else rows
    fitting = [r for r in body if len(r) == len(columns)]
    if not fitting and header:
        what = "a header but no rows" if not body else f"no row with {len(columns)} cells like its header"
        raise UserError(f"{path.name} has {what}; give a file with interactions or items.")
    if not fitting:
        raise UserError(
            f"{path.name} should have {len(columns)} columns ({', '.join(columns)}) and has {len(body[0])}."
        )
    sample = pd.DataFrame(fitting, columns=columns, dtype="str").fillna("")
    return Source(path, "csv", columns, sample, delimiter, quote, header)


def _atomic(path: Path, text: str) -> Source:
    """RecBole atomic file: tab-separated, header ``name:type``, no quoting."""
    source = _table(path, text, "\t", quote="")
    names = _unique([c.partition(":")[0] for c in source.columns])
    return replace(source, columns=names, sample=source.sample.set_axis(names, axis=1))


def _json(path: Path, text: str) -> Source:
    records, layout = _records(path, text)
    columns = list(dict.fromkeys(key for record in records for key in record))
    if not columns:
        raise UserError(f"{path.name} holds no JSON objects with fields; give one object per line.")
    cells = [[_cell(record.get(c)) for c in columns] for record in records]
    return Source(path, layout, columns, pd.DataFrame(cells, columns=columns, dtype="str"))


def _records(path: Path, text: str) -> tuple[list[dict], Layout]:
    if text.lstrip()[0] == "[":
        with duckdb.connect() as connection:
            try:
                found = connection.execute(
                    "SELECT json FROM read_json_objects(?, format='array', compression=?) LIMIT ?",
                    [str(path), "gzip" if is_gzip(path) else "uncompressed", SAMPLE_ROWS],
                ).fetchall()
            except duckdb.Error as error:
                raise UserError(f"{path.name} is not a JSON array of objects: {first_line(error)}.") from error
        return [r for (line,) in found if isinstance(r := json.loads(line), dict)], "json array"
    layout: Layout = "json"
    records: list[dict] = []
    bad = 0
    for line in text.splitlines()[:SAMPLE_ROWS]:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            fixed = literal_to_json(line)
            if fixed == line:
                bad += 1
                continue
            layout, record = "literals", json.loads(fixed)
        if isinstance(record, dict):
            records.append(record)
    if bad > len(records):
        raise UserError(f"{path.name} looks like JSON, but most lines are no JSON object; give one object per line.")
    return records, layout


def _parquet(path: Path) -> Source:
    with duckdb.connect() as connection:
        try:
            kinds = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            columns, types = [k[0] for k in kinds], tuple(str(k[1]) for k in kinds)
            cells = ", ".join(parquet_text(quoted(c), t) for c, t in zip(columns, types, strict=True))
            rows = connection.execute(
                f"SELECT {cells} FROM read_parquet(?) LIMIT {SAMPLE_ROWS}", [str(path)]
            ).fetchall()
        except duckdb.Error as error:
            reason = first_line(error).replace(str(path), path.name)
            raise UserError(f"{path.name} is a damaged Parquet file: {reason}.") from error
    if not rows:
        raise UserError(f"{path.name} has columns but no rows; give a file with interactions or items.")
    sample = pd.DataFrame(rows, columns=columns, dtype="str").fillna("")
    return Source(path, "parquet", columns, sample, types=types)


def parquet_text(column: str, kind: str) -> str:
    """SQL for a Parquet column as text: nested values as JSON, times in ISO form."""
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
        return f"to_json({column})::VARCHAR"
    return f"{column}::VARCHAR"


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """The first line of a library's message, for the end of a sentence."""
    return str(error).strip().splitlines()[0][:200].rstrip(".")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _is_data(row: list[str]) -> bool:
    """Whether a first row is data and not a header: it has a number in it."""
    return any(re.fullmatch(r"-?\d+([.,]\d+)?([eE]\d+)?", c.strip()) for c in row)


def _unique(names: list[str]) -> list[str]:
    """Usable column names: blank ones numbered, repeated ones given a suffix."""
    seen: dict[str, int] = {}
    result = []
    for i, raw in enumerate(names, 1):
        name = raw.strip().strip('"').strip() or f"column{i}"
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
