"""Lines that cannot be used: counted by reason, shown by example, kept in rejects.parquet, refused when many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from llmesr.config import IngestConfig
from llmesr.data.reading import BLANK, REASONS, count
from llmesr.data.report import Report, counted
from llmesr.data.sources import Source
from llmesr.errors import UserError

REJECTS = "rejects.parquet"


def check_rejects(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], config: IngestConfig, report: Report
) -> int:
    """Add rows of ``staged`` that are no good to table ``rejects`` and report them; returns their number.

    UserError when there are no rows, or more than ``config.max_rejected`` of them are rejected.
    Line numbers of delimited files count the header and assume that no cell holds a line break.
    """
    for number, source in enumerate(sources):
        _collect(connection, number, source)
    good = count(connection, "SELECT count(*) FROM staged WHERE reason = 0")
    bad = count(connection, "SELECT count(*) FROM rejects")
    report.step("read", good + bad)
    if good + bad == 0:
        raise UserError(f"{sources[0].name} has no rows; give a file with interactions.")
    report.step("readable", good)
    if not bad:
        return 0
    why = connection.execute(
        "SELECT reason, count(*) AS n, arg_min((file, line, text), line) FROM rejects GROUP BY reason ORDER BY n DESC"
    ).fetchall()
    if bad / (good + bad) > config.max_rejected:
        reason, times, (file, line, text) = why[0]
        raise UserError(
            f"{bad:,} of {good + bad:,} lines cannot be used, more than max_rejected = {config.max_rejected:.0%}; "
            f"most often {reason} ({times:,} times, first in {file} line {line}: {(text or '').strip()[:80]!r}). "
            "Check the columns and the file, or raise --set max_rejected=0.5."
        )
    for reason, times, _ in why:
        report.warn(
            "rejected",
            f"{counted(times, 'line')} left out: {reason}; all are in {REJECTS}.",
            times,
            [f"{file} line {line}: {(text or '').strip()}" for file, line, text in _examples(connection, reason)],
        )
    return bad


def check_item_rejects(
    connection: duckdb.DuckDBPyConnection, files: Sequence[str], config: IngestConfig, report: Report
) -> None:
    """Report the lines of item files that the parser refused. UserError when they are too many."""
    for file in files:
        bad = count(connection, "SELECT count(*) FROM rejects WHERE file = ?", [file])
        if not bad:
            continue
        query = "SELECT line, reason, text FROM rejects WHERE file = ? ORDER BY line LIMIT 5"
        examples = connection.execute(query, [file]).fetchall()
        total = bad + count(connection, "SELECT count(*) FROM catalogue")
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


def _collect(connection: duckdb.DuckDBPyConnection, number: int, source: Source) -> None:
    """Move the wrong rows of one file to ``rejects``, with their line numbers.

    Rows the parser refused are not in ``staged``: every other row stands as many lines further
    down as there are refused lines before it.
    """
    offset = 1 + (source.layout == "csv" and source.header)
    reasons = " ".join(f"WHEN {code} THEN '{why}'" for code, why in REASONS.items())
    connection.execute(
        f"""
        INSERT INTO rejects
        WITH refused AS (
            SELECT line - row_number() OVER (ORDER BY line) + 1 - {offset} AS place,
                   row_number() OVER (ORDER BY line) AS n
            FROM rejects WHERE file = $name AND {source.layout == "csv"}
        ), wrong AS (
            SELECT rowid - (SELECT min(rowid) FROM staged WHERE file = {number}) AS place, reason, original
            FROM staged WHERE file = {number} AND reason > {BLANK}
        )
        SELECT $name, wrong.place + {offset} + coalesce(refused.n, 0), CASE reason {reasons} END, original
        FROM wrong ASOF LEFT JOIN (SELECT place, max(n) AS n FROM refused GROUP BY place) refused
        ON wrong.place >= refused.place ORDER BY wrong.place""",
        {"name": source.name},
    )
