"""The first rows of Parquet and JSON files, within bounds: one that would unpack to gigabytes gives a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
import pandas as pd

from llmesr.data.literals import literal_to_json
from llmesr.errors import UserError

SAMPLE_ROWS = 1000
CELL = 500
"""Characters kept of a cell of a sample."""
MAX_SAMPLE_CELLS = 200_000
MEMORY = "400MB"


class Head(NamedTuple):
    """Column names, the first rows as text, Parquet types, and the columns with objects or lists in them."""

    columns: list[str]
    sample: pd.DataFrame
    types: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


def rows_for(width: int) -> int:
    """How many rows a sample of ``width`` columns has: fewer of very many columns."""
    return max(10, min(SAMPLE_ROWS, MAX_SAMPLE_CELLS // max(width, 1)))


def path_literal(path: Path) -> str:
    """A path as an SQL string that means this very file: DuckDB would take ``*``, ``?`` and ``[`` for a pattern."""
    whole = str(path.resolve())
    if any(c in whole for c in "*?[{"):
        whole = "".join(f"[{c}]" if c in "*?[{\\" else c for c in whole)
    return "'" + whole.replace("'", "''") + "'"


def bounded() -> duckdb.DuckDBPyConnection:
    """A database that takes little memory and never spills."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = 1; SET memory_limit = '{MEMORY}'; SET max_temp_directory_size = '0KB'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def parquet_head(path: Path) -> Head:
    """The first rows of a Parquet file. UserError when it is damaged, empty, or too large unpacked to look into."""
    relation = f"read_parquet({path_literal(path)}, hive_partitioning=false)"
    with bounded() as connection:
        try:
            kinds = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
            columns, types = [k[0] for k in kinds], tuple(str(k[1]) for k in kinds)
            names = ['"' + c.replace('"', '""') + '"' for c in columns]
            cells = ", ".join(f"left({parquet_text(n, t)}, {CELL})" for n, t in zip(names, types, strict=True))
            rows = connection.execute(f"SELECT {cells} FROM {relation} LIMIT {rows_for(len(columns))}").fetchall()
        except duckdb.OutOfMemoryException as error:
            raise UserError(
                f"{path.name} cannot be looked into: its first rows unpack to more than {MEMORY}. "
                "Write it again in smaller row groups, without the columns that hold much."
            ) from error
        except duckdb.Error as error:
            raise UserError(
                f"{path.name} is a damaged Parquet file, or one of a kind that cannot be read; write it again."
            ) from error
    if not rows:
        raise UserError(f"{path.name} has columns but no rows; give a file with interactions or items.")
    sample = pd.DataFrame(rows, columns=columns, dtype="str").fillna("")
    return Head(columns, sample, types, tuple(c for c, t in zip(columns, types, strict=True) if is_nested(t)))


def is_nested(kind: str) -> bool:
    """Whether a DuckDB type holds several values."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def parquet_text(column: str, kind: str) -> str:
    """SQL for a Parquet column as text: nested values as JSON, bytes decoded, times in ISO form."""
    if is_nested(kind):
        return f"to_json({column})::VARCHAR"
    if kind == "BLOB":
        return f"try(decode({column}))"
    return f"{column}::VARCHAR"


def json_head(path: Path, text: str) -> tuple[Literal["json", "json array", "literals"], Head]:
    """The first records of JSON lines, a JSON array, or Python dictionaries, and which of them it is."""
    layout: Literal["json", "json array", "literals"]
    if text.lstrip()[0] == "[":
        layout, records = "json array", _array(text)
    else:
        layout, records = _lines(path, text)
    columns = list(dict.fromkeys(key for record in records for key in record))
    if not columns:
        raise UserError(f"{path.name} holds no JSON objects with fields; give one object per line.")
    records = records[: rows_for(len(columns))]
    cells = [[_cell(record.get(c)) for c in columns] for record in records]
    nested = tuple(c for c in columns if any(isinstance(r.get(c), (dict, list)) for r in records))
    return layout, Head(columns, pd.DataFrame(cells, columns=columns, dtype="str"), nested=nested)


def _array(text: str) -> list[dict[str, Any]]:
    """The objects of an array as far as its beginning goes."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    records: list[dict[str, Any]] = []
    at = text.index("[") + 1
    while len(records) < SAMPLE_ROWS:
        gap = between.match(text, at)
        at = gap.end() if gap else at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # the end of the array, or of its beginning
            break
        if isinstance(value, dict):
            records.append(value)
    return records


def _lines(path: Path, text: str) -> tuple[Literal["json", "literals"], list[dict[str, Any]]]:
    layout: Literal["json", "literals"] = "json"
    records: list[dict[str, Any]] = []
    bad = 0
    for line in _first(text):
        record = _loaded(line)
        if record is None:
            fixed = literal_to_json(line)
            record = None if fixed == line else _loaded(fixed)
            layout = layout if record is None else "literals"
        if isinstance(record, dict):
            records.append(record)
        else:
            bad += 1
    if bad > len(records):
        raise UserError(f"{path.name} looks like JSON, but most lines are no JSON object; give one object per line.")
    return layout, records


def _first(text: str) -> Iterator[str]:
    filled = (line for line in text.split("\n") if line.strip())
    for _, line in zip(range(SAMPLE_ROWS), filled, strict=False):
        yield line


def _loaded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return text[:CELL].encode("utf-8", "replace").decode("utf-8")  # an escape may stand for half a character
