"""Prepared files -> staging tables in DuckDB, with every unreadable line kept and named.

The database lives in memory under a limit and spills to the scratch folder, so a file may be far
larger than memory. Rows keep the order of the file: the hidden ``rowid`` of a staging table is it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import psutil

from llmesr.data.heads import path_literal
from llmesr.data.reader import INEXACT, NESTED, Reader
from llmesr.data.times import DAY, SECOND, UNITS, TimeFormat
from llmesr.errors import UserError

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
    11: "id in scientific notation, which has lost digits",
    12: "id that is an object or a list",
    13: "repeats the header",
    14: "time in another unit than most",
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
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        connection.execute("SET enable_progress_bar = false")  # it would draw into what --json prints
    connection.execute(f"SET threads = {threads}")
    connection.execute(f"SET memory_limit = '{max(1000, 256 * threads, int(wanted / 1e6))}MB'")
    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spill'))}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE staged(file SMALLINT, user_id VARCHAR, item_id VARCHAR, time BIGINT, weight FLOAT, "
        "review VARCHAR, reason TINYINT, original VARCHAR, wide_user VARCHAR, wide_item VARCHAR)"
    )
    connection.execute("CREATE TABLE rejects(file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)")
    return connection


def count(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None) -> int:
    """The single number a query gives. The result is read to its end, so the connection is free again."""
    return int(connection.execute(query, values or []).fetchall()[0][0])


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def tidy(value: str) -> str:
    """SQL for text without surrounding space.

    Trimming is costly, so it is done only where a value begins or ends with space or a control
    character, or holds anything beyond ASCII. ``value`` should be a plain column: an expression
    that is used twice is computed for every row, needed or not.
    """
    untidy = f"{value} < '!' OR strlen({value}) <> length({value})"
    untidy += "".join(f" OR ends_with({value}, {literal(c)})" for c in " \t\r")
    return f"CASE WHEN {untidy} THEN trim({value}, ' \t\r\n\u00a0\ufeff') ELSE {value} END"


def _wide(raw: str, tidied: str) -> str:
    """SQL for an id as it was written, where spaces were trimmed from it; NULL elsewhere, which costs next to nothing.
    Ends of lines and a mark at the beginning of a file are none of its characters."""
    written = f"trim({raw}, '\r\n\ufeff')"
    return f"CASE WHEN {raw} <> {tidied} AND {written} <> {tidied} THEN {written} END"


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
    """Append the rows of one file to ``staged`` and the lines that are no rows to ``rejects``.

    ``weight`` becomes NaN where there is none, NULL where it cannot be read. ``wide_user`` and ``wide_item`` keep an id
    with the spaces around it.
    """
    time_text = reader.time_column(mapping["timestamp"]) if times else "NULL"
    weight = reader.weight_column(mapping["weight"]) if "weight" in mapping else "'nan'"
    review = f"left({reader.column(mapping['review'])}, {REVIEW_LENGTH})" if "review" in mapping else "NULL"
    reason = _reason(reader, mapping, times, need_weight)
    # the original line is put together only for the rows that are wrong
    original = f"CASE WHEN reason > {BLANK} OR weight IS NULL THEN {reader.original(mapping)} END"

    def statement() -> str:
        raw = f"""
            SELECT *, {reader.id_column(mapping["user_id"])} AS raw_user,
                   {reader.id_column(mapping["item_id"])} AS raw_item, {time_text} AS time_text,
                   {weight} AS weight_text, {review} AS review,
                   {reader.blank} AS blank, {reader.broken} AS broken
            FROM {reader.relation}"""
        tidied = f"""
            SELECT *, {tidy("raw_user")} AS tidy_user, {tidy("raw_item")} AS tidy_item,
                   coalesce(try_cast(weight_text AS FLOAT),
                            CASE WHEN {present("trim(weight_text)")} IS NULL THEN 'nan'::FLOAT END) AS weight,
                   {times.sql("time_text") if times else "NULL::BIGINT"} AS time
            FROM ({raw})"""
        parsed = f"SELECT *, {present('tidy_user')} AS user_id, {present('tidy_item')} AS item_id FROM ({tidied})"
        return (
            f"INSERT INTO staged SELECT {number}, user_id, item_id, time, weight, review, reason, {original}, "
            f"{_wide('raw_user', 'tidy_user')}, {_wide('raw_item', 'tidy_item')} "
            f"FROM (SELECT *, {reason} AS reason FROM ({parsed}))"
        )

    _run(connection, reader, statement)
    _take_rejects(connection, reader)


def _reason(reader: Reader, mapping: Mapping[str, str], times: TimeFormat | None, need_weight: bool) -> str:
    """SQL for the number of what is wrong with a row, 0 for nothing."""
    now = time.time_ns() + DAY
    future = f"WHEN time > {now} THEN 7" if times and times.kind == "seconds" else ""
    no_time = _no_time(times) if times else ""
    written = reader.plus or not reader.source.delimited  # JSON can hide a sign behind an escape
    signs = f"WHEN {_scientific('user_id')} OR {_scientific('item_id')} THEN 11" if written else ""
    if not reader.source.delimited:
        signs += f" WHEN {literal(NESTED)} IN (user_id, item_id) THEN 12"
        signs += f" WHEN {literal(INEXACT)} IN (user_id, item_id) THEN 10"
    names = {field: literal(mapping[field].strip()) for field in ("user_id", "item_id")}
    again = ""
    if reader.source.delimited and reader.source.header:
        again = f"WHEN user_id = {names['user_id']} AND item_id = {names['item_id']} THEN 13"
    bad_weight = "WHEN weight IS NULL OR isnan(weight) THEN 8" if need_weight else ""
    return (
        f"CASE WHEN blank THEN {BLANK} WHEN broken THEN 9 "
        f"WHEN user_id IS NULL THEN CASE WHEN {reader.empty} THEN {BLANK} ELSE 2 END WHEN item_id IS NULL THEN 3 "
        f"{again} {signs} {no_time} {future} {bad_weight} ELSE 0 END"
    )


def _no_time(times: TimeFormat) -> str:
    """SQL cases for times that are none. Zero (1970-01-01) stands for a time that nobody knows."""
    low = dict(UNITS).get(times.unit)
    unit = f"WHEN abs(try_cast(time_text AS DOUBLE)) >= {1000 * low} THEN 14" if low else ""
    cases = f"WHEN time IS NULL THEN CASE WHEN {present('trim(time_text)')} IS NULL THEN 4 {unit} ELSE 5 END "
    cases += "WHEN time < 0 THEN 6"
    if times.kind == "seconds":
        cases += " WHEN time = 0 THEN 4"
    if low and times.unit != "s":
        cases += f" WHEN time < {int(UNITS[-1][1]) * SECOND} THEN 14"
    return cases


def _scientific(value: str) -> str:
    """SQL: whether a spreadsheet has made 1.23457E+11 of an id."""
    return f"(contains({value}, '+') AND regexp_full_match({value}, '[0-9]([.,][0-9]+)?[eE][+][0-9]+'))"


def stage_items(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    item_column: str,
    attributes: Mapping[str, str],
    *,
    table: str = "catalogue",
    grouped: bool = False,
) -> None:
    """Append to ``table`` (item_id, a0, a1, ...), which must exist; attributes in its order.

    ``grouped``: one row per item, with the last in the alphabet of what its rows say.
    """
    names = [f"a{i}" for i in range(len(attributes))]
    cells = [f"{column} AS {name}" for name, column in zip(names, attributes.values(), strict=True)]
    chosen = "".join(f", max({name})" if grouped else f", {name}" for name in names)
    group = "GROUP BY id ORDER BY id" if grouped else ""

    def statement() -> str:
        raw = f"SELECT {', '.join([f'{reader.id_column(item_column)} AS raw', *cells])} FROM {reader.relation}"
        tidied = f"SELECT {tidy('raw')} AS id, {', '.join(names) or '0'} FROM ({raw})"
        return f"INSERT INTO {table} SELECT {present('id')}{chosen} FROM ({tidied}) {group}"

    _run(connection, reader, statement)
    if not grouped:  # else the same file was read for its interactions: its lines are counted there
        _take_rejects(connection, reader)


def _take_rejects(connection: duckdb.DuckDBPyConnection, reader: Reader) -> None:
    if reader.rejects is not None:
        table = f"read_parquet({path_literal(reader.rejects)}, hive_partitioning=false)"
        connection.execute(f"INSERT INTO rejects SELECT ?, line, reason, text FROM {table}", [reader.source.name])


def _run(connection: duckdb.DuckDBPyConnection, reader: Reader, statement: Callable[[], str]) -> None:
    """Run a statement that reads the file: in bulk, and line by line where that cannot be done."""
    name = reader.source.name
    try:
        connection.execute(statement())
    except duckdb.OutOfMemoryException as error:
        raise UserError(f"Not enough memory or disk to read {name}.") from error
    except duckdb.Error as error:
        if reader.by_lines or reader.source.layout in ("parquet", "json array"):
            raise UserError(
                f"{name} cannot be read to its end: it is damaged, or not what its beginning says; write it again."
            ) from error
        reader.read_lines()
        _run(connection, reader, statement)
