"""Lines that cannot be used: counted by reason, shown by example, kept in rejects.parquet, refused when many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from llmesr.config import IngestConfig
from llmesr.data.reader import Reader
from llmesr.data.reading import BLANK, REASONS, count
from llmesr.data.report import Report
from llmesr.errors import UserError
from llmesr.prose import counted

REJECTS = "rejects.parquet"


def check_rejects(
    connection: duckdb.DuckDBPyConnection, readers: Sequence[Reader], config: IngestConfig, report: Report
) -> int:
    """Add rows of ``staged`` that are no good to table ``rejects`` and report them; returns their number.

    UserError when there are no rows, or more than ``config.max_rejected`` of them are rejected.
    """
    for number, reader in enumerate(readers):
        _collect(connection, number, reader)
    good = count(connection, "SELECT count(*) FROM staged WHERE reason = 0")
    bad = count(connection, "SELECT count(*) FROM rejects")
    report.step("read", good + bad)
    if good + bad == 0:
        raise UserError(f"{readers[0].source.name} has no rows; give a file with interactions.")
    report.step("readable", good)
    if not bad:
        return 0
    places = {r.source.name: r.place for r in readers}
    why = connection.execute(
        "SELECT reason, count(*) AS n, arg_min((file, line, text), line) FROM rejects GROUP BY reason ORDER BY n DESC"
    ).fetchall()
    if bad / (good + bad) > config.max_rejected:
        reason, times, (file, line, text) = why[0]
        first = f"{file} {places[file]} {line}: {(text or '').strip()[:80]!r}"
        raise UserError(
            f"{bad:,} of {good + bad:,} lines cannot be used, more than max_rejected = {config.max_rejected:.0%}; "
            f"most often {reason} ({times:,} times, first in {first}). "
            "Check the columns and the file, or raise --set max_rejected=0.5."
        )
    for reason, times, _ in why:
        report.warn(
            "rejected",
            f"{counted(times, 'line')} left out: {reason}; all are in {REJECTS}.",
            times,
            [f"{f} {places[f]} {line}: {(text or '').strip()}" for f, line, text in _examples(connection, reason)],
        )
    return bad


def check_item_rejects(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[str],
    config: IngestConfig,
    report: Report,
    *,
    table: str = "catalogue",
) -> None:
    """Report the lines of files of items (or users, in ``table``) that the parser refused. UserError when they are too
    many."""
    for file in files:
        bad = count(connection, "SELECT count(*) FROM rejects WHERE file = ?", [file])
        if not bad:
            continue
        query = "SELECT line, reason, text FROM rejects WHERE file = ? ORDER BY line LIMIT 5"
        examples = connection.execute(query, [file]).fetchall()
        total = bad + count(connection, f"SELECT count(*) FROM {table}")
        line, reason, text = examples[0]
        if bad / total > config.max_rejected:
            raise UserError(
                f"{bad:,} of {total:,} lines of {file} cannot be used, more than max_rejected = "
                f"{config.max_rejected:.0%}; the first is line {line}: {reason} ({(text or '').strip()[:80]!r}). "
                "Check the file, or raise --set max_rejected=0.5."
            )
        report.warn(
            "rejected_items",
            f"{counted(bad, 'line')} of {file} left out; all are in {REJECTS}.",
            bad,
            (f"{file} line {line}: {reason}: {(text or '').strip()}" for line, reason, text in examples),
        )


def write_rejects(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write all rejected lines, if there are any: file, line, reason, text."""
    if not count(connection, "SELECT count(*) FROM rejects"):
        return
    target = str(folder / REJECTS).replace("'", "''")
    connection.execute(f"COPY (SELECT * FROM rejects ORDER BY file, line) TO '{target}' (FORMAT parquet)")


def _examples(connection: duckdb.DuckDBPyConnection, reason: str) -> list[tuple[str, int, str]]:
    query = "SELECT file, line, text FROM rejects WHERE reason = ? ORDER BY file, line LIMIT 5"
    return connection.execute(query, [reason]).fetchall()


def _collect(connection: duckdb.DuckDBPyConnection, number: int, reader: Reader) -> None:
    """Move the wrong rows of one file to ``rejects``, with their line numbers.

    Where a file was taken apart line by line the number stands before the text; else every row is a line.
    """
    reasons = " ".join(f"WHEN {code} THEN '{why}'" for code, why in REASONS.items())
    connection.execute(
        f"""
        INSERT INTO rejects
        SELECT $name, {_line(reader, number)}, CASE reason {reasons} END, {TEXT}
        FROM staged WHERE file = {number} AND reason > {BLANK} ORDER BY rowid""",
        {"name": reader.source.name},
    )


TEXT = "substr(original, strpos(original, chr(9)) + 1)"


def _line(reader: Reader, number: int) -> str:
    """SQL for the line of a staged row of file ``number``."""
    counted_up = f"rowid - (SELECT min(rowid) FROM staged WHERE file = {number}) + {reader.first_line}"
    return f"coalesce(try_cast(split_part(original, chr(9), 1) AS BIGINT), {counted_up})"


def tell_weights(connection: duckdb.DuckDBPyConnection, readers: Sequence[Reader], column: str, report: Report) -> None:
    """Report the weights that are there but are no numbers; their interactions are kept without a weight."""
    unread = "reason = 0 AND (weight IS NULL OR isinf(weight))"
    times = count(connection, f"SELECT count(*) FROM staged WHERE {unread}")
    if not times:
        return
    examples: list[str] = []
    for number, reader in enumerate(readers):
        query = f"SELECT {_line(reader, number)}, {TEXT} FROM staged WHERE file = {number} AND {unread} LIMIT 5"
        for line, text in connection.execute(query).fetchall():
            examples.append(f"{reader.source.name} {reader.place} {line}: {(text or '').strip()}")
    report.warn(
        "weights",
        f"{counted(times, 'weight')} in {column!r} cannot be read as a number; these interactions have none.",
        times,
        examples,
    )


def tell_departures(readers: Sequence[Reader], report: Report) -> None:
    """Report what was mended while a file was taken apart line by line."""
    for reader in readers:
        found, name, dialect = reader.departures, reader.source.name, reader.source.dialect
        if dialect.above:
            report.info(
                "titles",
                f"The table of {name} begins in line {dialect.skip + 1}; what stands above it is left out "
                f"({dialect.above[:80]!r}).",
                dialect.skip,
            )
        if found is None:
            continue
        if found.strays:
            report.warn(
                "stray_quotes",
                f"{counted(found.strays, 'line')} of {name} with a quotation mark in the wrong place, read as if it "
                "were text. If quotes are only text in this file, say --set quote=none.",
                found.strays,
                (f"{name} {example}" for example in found.stray_examples),
            )
        if found.longer:
            report.info(
                "trailing_delimiters",
                f"{counted(found.longer, 'line')} of {name} end in a delimiter with nothing behind it; it is ignored.",
                found.longer,
            )
