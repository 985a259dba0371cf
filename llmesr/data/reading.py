"""Prepared files -> staging tables in DuckDB, with every unreadable line kept and named.

The database lives in memory under a limit and spills to the scratch folder, so a file may be far
larger than memory. Rows keep the order of the file: the hidden ``rowid`` of a staging table is it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import psutil

from llmesr.data.files import Prepared, literals_to_json
from llmesr.data.sources import Source, first_line, parquet_text, quoted
from llmesr.data.times import DAY_US, TimeFormat
from llmesr.errors import UserError

MAX_LINE = 16_000_000
REVIEW_LENGTH = 600
MISSING = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "none", "NA", "N/A", "<NA>", r"\N")
"""What counts as no value in an id or text column."""

# what is wrong with a row, by number; 0 is a good row, 1 a blank line that is no data at all
BLANK = 1
REASONS = {
    2: "no user id",
    3: "no item id",
    4: "no time",
    5: "unreadable time",
    6: "time before 1970",
    7: "time in the future",
    8: "unreadable weight",
    9: "not a JSON object",
    10: "id written as a fraction or too large to be exact",
}


PACKED = 8
"""How many times larger than its file compressed data may be."""


def connect(scratch: Path, inputs: Sequence[Path] = ()) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills to ``scratch``.

    It may take 1 GB (256 MB per thread, where that is more), and for larger ``inputs`` half as much again as they
    hold, but never over half of the memory that is free.
    """
    threads = min(os.cpu_count() or 1, 16)
    octets = sum(p.stat().st_size * (PACKED if p.suffix in (".gz", ".parquet") else 1) for p in inputs)
    wanted = min(1.5 * octets, psutil.virtual_memory().available / 2)
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")  # it would draw into what --json prints
    connection.execute(f"SET threads = {threads}")
    connection.execute(f"SET memory_limit = '{max(1000, 256 * threads, int(wanted / 1e6))}MB'")
    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spill'))}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE staged(file TINYINT, user_id VARCHAR, item_id VARCHAR, time BIGINT, weight FLOAT, "
        "review VARCHAR, reason TINYINT, original VARCHAR)"
    )
    connection.execute("CREATE TABLE rejects(file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)")
    return connection


def count(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None) -> int:
    """The single number a query gives. The result is read to its end, so the connection is free again."""
    return int(connection.execute(query, values or []).fetchall()[0][0])


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


class Reader:
    """SQL over one prepared file: a FROM clause, an expression per column, the original line."""

    def __init__(self, source: Source, prepared: Prepared, scratch: Path) -> None:
        self.source = source
        self.path = prepared.path
        if source.layout == "literals":
            self.path = literals_to_json(prepared.path, scratch / f"{prepared.digest[:16]}.jsonl")

    @property
    def relation(self) -> str:
        """SQL to select from: columns c0, c1, ..., or for JSON ``line`` and ``record`` (NULL where it is no object)."""
        s, path = self.source, literal(str(self.path))
        if s.layout == "parquet":
            renamed = ", ".join(f"{quoted(c)} AS c{i}" for i, c in enumerate(s.columns))
            return f"(SELECT {renamed} FROM read_parquet({path}))"
        if s.layout == "json array":
            lines = (
                f"SELECT json AS line FROM read_json_objects({path}, format='array', maximum_object_size={MAX_LINE})"
            )
            return _records(lines)
        common = f"auto_detect=false, max_line_size={MAX_LINE}, buffer_size={2 * MAX_LINE}, store_rejects=true"
        if s.layout in ("json", "literals"):
            # a table of one column: a delimiter that text does not hold, and no quoting
            one = "delim='\x1f', quote='', escape='', header=false, columns={'line': 'VARCHAR'}"
            return _records(f"SELECT line FROM read_csv({path}, {common}, {one})")
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(s.columns)))
        quote = f"quote={literal(s.quote)}, escape={literal(s.quote)}"
        return (
            f"read_csv({path}, {common}, delim={literal(s.delimiter)}, {quote}, "
            f"header={str(s.header).lower()}, columns={{{columns}}})"
        )

    def column(self, name: str) -> str:
        """SQL for a column as VARCHAR."""
        s = self.source
        index = s.columns.index(name)
        if s.layout == "parquet":
            return parquet_text(f"c{index}", s.types[index])
        if s.layout == "csv":
            return f"c{index}"
        return f"json_extract_string(record, {literal('$.' + quoted(name))})"

    def id_column(self, name: str) -> str:
        """SQL for an id: exact text. Whole floats of a Parquet file (12.0) are read as 12."""
        index = self.source.columns.index(name)
        kind = self.source.types[index] if self.source.types else ""
        if kind in ("FLOAT", "DOUBLE"):
            value = f"c{index}"
            whole = f"{value} = floor({value}) AND abs({value}) <= 9007199254740992"
            return (
                f"CASE WHEN {value} IS NULL OR isnan({value}) THEN NULL "
                f"WHEN {whole} THEN {value}::BIGINT::VARCHAR ELSE {literal(INEXACT)} END"
            )
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
            raise UserError(
                f"Column {name!r} of {self.source.name} holds nested values ({kind[:40]}); "
                "an id must be text or a number."
            )
        if self.source.layout not in ("csv", "parquet"):
            # a JSON number beyond 64 bits would be rounded by extraction
            raw = self.column(name)
            return (
                f"CASE WHEN regexp_full_match({raw}, '-?[0-9.]+[eE][+][0-9]+') THEN {literal(INEXACT)} ELSE {raw} END"
            )
        return self.column(name)

    def original(self, mapping: Mapping[str, str]) -> str:
        """SQL for the part of a row that is used, as the file has it, for the list of rejects."""
        if self.source.layout not in ("csv", "parquet"):
            return "left(line, 500)"
        cells = ", ".join(f"coalesce({self.column(c)}, '')" for f, c in mapping.items() if f != "review")
        return f"left(concat_ws(', ', {cells}), 500)"

    @property
    def broken(self) -> str:
        """SQL: whether a JSON line is no object."""
        if self.source.layout in ("csv", "parquet"):
            return "false"
        return "record IS NULL"

    @property
    def blank(self) -> str:
        return "false" if self.source.layout in ("csv", "parquet") else "(line IS NULL OR trim(line) = '')"


INEXACT = "\x01inexact"


def tidy(value: str) -> str:
    """SQL for text without surrounding space.

    Trimming is costly, so it is done only where a value begins or ends with space or a control
    character, or holds anything beyond ASCII. ``value`` should be a plain column: an expression
    that is used twice is computed for every row, needed or not.
    """
    untidy = f"{value} < '!' OR strlen({value}) <> length({value})"
    untidy += "".join(f" OR ends_with({value}, {literal(c)})" for c in " \t\r")
    return f"CASE WHEN {untidy} THEN trim({value}, ' \t\r\n\u00a0\ufeff') ELSE {value} END"


def present(value: str) -> str:
    """SQL for ``value`` (a plain column), NULL when it stands for nothing."""
    return f"CASE WHEN {value} IN ({', '.join(literal(m) for m in MISSING)}) THEN NULL ELSE {value} END"


def stage_interactions(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    number: int,
    mapping: Mapping[str, str],
    times: TimeFormat | None,
    *,
    need_weight: bool,
) -> None:
    """Append the rows of one file to ``staged`` and what the parser refused to ``rejects``."""
    time_text = reader.column(mapping["timestamp"]) if times else "NULL"
    weight = reader.column(mapping["weight"]) if "weight" in mapping else "NULL"
    review = f"left({reader.column(mapping['review'])}, {REVIEW_LENGTH})" if "review" in mapping else "NULL"
    now = int(time.time() * 1_000_000) + DAY_US
    future = f"WHEN time > {now} THEN 7" if times and times.kind == "seconds" else ""
    absent = f"CASE WHEN {present('trim(time_text)')} IS NULL THEN 4 ELSE 5 END"
    no_time = f"WHEN time IS NULL THEN {absent} WHEN time < 0 THEN 6" if times else ""
    csv = reader.source.layout == "csv"
    inexact = "" if csv else f"WHEN {literal(INEXACT)} IN (user_id, item_id) THEN 10"
    bad_weight = "WHEN weight IS NULL OR isnan(weight) THEN 8" if need_weight else ""
    reason = (
        f"CASE WHEN blank THEN {BLANK} WHEN broken THEN 9 WHEN user_id IS NULL THEN 2 WHEN item_id IS NULL THEN 3 "
        f"{inexact} {no_time} {future} {bad_weight} ELSE 0 END"
    )
    raw = f"""
        SELECT *, {reader.id_column(mapping["user_id"])} AS raw_user,
               {reader.id_column(mapping["item_id"])} AS raw_item, {time_text} AS time_text,
               try_cast({weight} AS FLOAT) AS weight, {review} AS review,
               {reader.blank} AS blank, {reader.broken} AS broken
        FROM {reader.relation}"""
    tidied = f"""
        SELECT *, {tidy("raw_user")} AS tidy_user, {tidy("raw_item")} AS tidy_item,
               {times.sql("time_text") if times else "NULL::BIGINT"} AS time
        FROM ({raw})"""
    parsed = f"SELECT *, {present('tidy_user')} AS user_id, {present('tidy_item')} AS item_id FROM ({tidied})"
    # the original line is put together only for the rows that are wrong
    original = f"CASE WHEN reason > {BLANK} THEN {reader.original(mapping)} END"
    _run(
        connection,
        reader,
        f"INSERT INTO staged SELECT {number}, user_id, item_id, time, weight, review, reason, {original} "
        f"FROM (SELECT *, {reason} AS reason FROM ({parsed}))",
    )


def stage_items(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    item_column: str,
    attributes: Mapping[str, str],
    *,
    grouped: bool = False,
) -> None:
    """Append to table ``catalogue`` (item_id, a0, a1, ...), which must exist; attributes in its order.

    ``grouped``: one row per item, with the last in the alphabet of what its rows say.
    """
    names = [f"a{i}" for i in range(len(attributes))]
    cells = [f"{column} AS {name}" for name, column in zip(names, attributes.values(), strict=True)]
    raw = f"SELECT {', '.join([f'{reader.id_column(item_column)} AS raw', *cells])} FROM {reader.relation}"
    tidied = f"SELECT {tidy('raw')} AS id, {', '.join(names) or '0'} FROM ({raw})"
    chosen = "".join(f", max({name})" if grouped else f", {name}" for name in names)
    group = "GROUP BY id ORDER BY id" if grouped else ""
    before = count(connection, "SELECT count(*) FROM rejects")
    _run(connection, reader, f"INSERT INTO catalogue SELECT {present('id')}{chosen} FROM ({tidied}) {group}")
    if grouped:  # the same file was read for its interactions: its lines are counted there
        connection.execute("DELETE FROM rejects WHERE rowid >= ?", [before])


def _records(lines: str) -> str:
    valid = "CASE WHEN json_valid(line) AND starts_with(ltrim(line), '{') THEN line END"
    return f"(SELECT line, {valid} AS record FROM ({lines}))"


def _run(connection: duckdb.DuckDBPyConnection, reader: Reader, sql: str) -> None:
    """Run a statement that reads the file, then move what its parser refused to ``rejects``."""
    name = reader.source.name
    try:
        connection.execute(sql)
        if "store_rejects" in reader.relation:
            connection.execute(
                "INSERT INTO rejects SELECT ?, line, lower(any_value(error_type)::VARCHAR), "
                "left(any_value(csv_line), 500) "
                "FROM reject_errors GROUP BY line, line_byte_position ORDER BY line",
                [name],
            )
            connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    except duckdb.OutOfMemoryException as error:
        raise UserError(f"Not enough memory or disk to read {name}: {first_line(error)}.") from error
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as error:
        raise UserError(f"{name} cannot be read: {first_line(error)}.") from error
