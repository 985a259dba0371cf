"""Queries of databases: PostgreSQL and SQLite through ADBC, DuckDB by its own library; all opened for reading only."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from llmesr.deadlines import TooSlow, arriving
from llmesr.errors import UserError, masked

SCHEMES = ("postgresql", "postgres", "sqlite", "duckdb")
BATCH = 1 << 16
MEMORY = "1GB"
HINT = "pip install 'llmesr[databases]'"
PATIENCE = 10
"""Seconds to wait for a server that does not answer."""
LONGEST = 3_600.0
"""Seconds until the first rows of a query, and between two batches of them."""
PASSWORD = "PGPASSWORD"


def kind_of(source: str) -> str | None:
    """``postgresql``, ``sqlite`` or ``duckdb``; None when it is no database. Files are known by their first bytes."""
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme:
        return {"postgres": "postgresql"}.get(scheme, scheme) if scheme in SCHEMES else None
    try:
        with open(source, "rb") as handle:
            start = handle.read(16)
    except OSError:
        return None
    if start.startswith(b"SQLite format 3"):
        return "sqlite"
    return "duckdb" if start[8:12] == b"DUCK" else None


def shown(source: str) -> str:
    """A database as manifests and messages name it: no password, no parameters."""
    return masked(source.partition("?")[0])


def check_query(sql: str) -> str:
    """One query that only reads, without the semicolon at its end. UserError for anything else."""
    query = sql.strip().rstrip(";").rstrip()
    if not re.match(r"(select|with|from|values|table)\b|\(", query, re.IGNORECASE):
        raise UserError(f"{query[:60]!r} is not a query; it must begin with SELECT or WITH.")
    ends = (n for n, c in enumerate(query) if c == ";")
    if any(sqlite3.complete_statement(query[: n + 1]) for n in ends):
        raise UserError(f"{query[:60]!r} holds several statements; give one query for each --sql.")
    return query


@contextlib.contextmanager
def opened(source: str, sql: str, name: str, password: str | None = None) -> Iterator[pa.RecordBatchReader]:
    """The rows of a query as Arrow batches. ``name`` is what the query is called in messages.

    The password of a PostgreSQL server is ``password``, or what PGPASSWORD says. UserError, in one sentence without
    that password, when the database cannot be reached, the query cannot be answered, or no row comes for
    :data:`LONGEST`.
    """
    query = check_query(sql)
    columns: list[str] = []
    try:
        with arriving(lambda: _answered(source, query, password), LONGEST) as answer:
            schema = next(answer)
            columns += schema.names
            yield pa.RecordBatchReader.from_batches(schema, answer)
    except UserError:
        raise
    except TooSlow:
        raise UserError(
            f"{shown(source)} has sent no row of {name} for {LONGEST / 60:g} minutes; it is given up. Ask for less, or "
            "store the answer as a table there and read that."
        ) from None
    except Exception as error:  # every driver has errors of its own, and Arrow passes them on as OSError
        if not _of_database(error):
            raise
        said = _said(error, [password or "", os.environ.get(PASSWORD, "")])
        # from None: the text of the driver may hold what this sentence must not
        raise UserError(_sentence(str(error), said, shown(source), name, columns)) from None


@contextlib.contextmanager
def _answered(source: str, query: str, password: str | None) -> Iterator[Iterator[Any]]:
    """The schema of the rows, then the batches."""
    kind = kind_of(source)
    if kind == "duckdb":
        with _duckdb(_file(source, kind)) as connection:
            reader = connection.sql(query).to_arrow_reader(BATCH)
            yield itertools.chain([reader.schema], reader)
        return
    connect = _postgresql(source, password) if kind == "postgresql" else _sqlite(_file(source, "sqlite"))
    with connect as connection, connection.cursor() as cursor:
        if kind == "postgresql":
            cursor.execute("SET default_transaction_read_only = on")
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        yield itertools.chain([reader.schema], reader)


def _file(source: str, kind: str) -> Path:
    """The file of an SQLite or DuckDB database."""
    path = Path(urllib.parse.unquote(source.removeprefix(f"{kind}://")))
    if source.startswith(f"{kind}:///") and not source.startswith(f"{kind}:////") and not path.is_file():
        path = Path(str(path).lstrip("/"))  # SQLAlchemy writes a relative path with three slashes
    if not path.is_file():
        raise UserError(f"There is no database file {path}.")
    return path


def _postgresql(source: str, password: str | None) -> Any:
    url = urllib.parse.urlsplit(source)
    if url.password is not None or "password" in urllib.parse.parse_qs(url.query):
        raise UserError(
            "The address of the database holds a password, which others on this machine can see; leave it out, and "
            f"put it into the environment variable {PASSWORD}."
        )
    given = [url.query] if "connect_timeout" in url.query else [url.query, f"connect_timeout={PATIENCE}"]
    if password is not None:
        given.append("password=" + urllib.parse.quote(password, safe=""))
    source = urllib.parse.urlunsplit((*url[:3], "&".join(filter(None, given)), ""))
    try:
        import adbc_driver_postgresql.dbapi as driver
    except ImportError:
        raise UserError(f"Reading from PostgreSQL needs a driver: {HINT}") from None
    return driver.connect(source, autocommit=True)


def _sqlite(path: Path) -> Any:
    try:
        import adbc_driver_sqlite.dbapi as driver
    except ImportError:
        raise UserError(f"Reading from SQLite needs a driver: {HINT}") from None
    return driver.connect(f"file:{urllib.parse.quote(str(path.resolve()))}?mode=ro", autocommit=True)


def _duckdb(path: Path) -> duckdb.DuckDBPyConnection:
    """The database alone: a query reads its tables, and no other file or address."""
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute(f"SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'; SET enable_external_access = false")
    return connection


def _of_database(error: Exception) -> bool:
    """Whether a driver, or Arrow on its behalf, says so; all else is an error of this program, or of the machine."""
    module = type(error).__module__
    return module.startswith(("adbc_driver", "duckdb", "_duckdb", "pyarrow")) or bool(_DRIVER.search(str(error)))


_DRIVER = re.compile(r"\[(libpq|SQLite)\] ")
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"password authentication failed|no password supplied|authentication failed",
     f"{{where}} refuses the user or the password ({PASSWORD}, or the variable that its connection names)."),
    (r"could not translate host name|Connection refused|timeout expired|Network is unreachable|No route to host",
     "{where} cannot be reached; check host and port, and that the server is running."),
    (r'database "[^"]*" does not exist', "{where} does not exist on that server; check the name of the database."),
    (r"no such table|relation \S+ does not exist|Table with name \S+ does not exist",
     "{name} asks for a table that is not there: {said}"),
    (r"Type mismatch in column", "Column {column!r} of {name} holds values of several types; say which you want in the "
     "query, such as CAST({column} AS text)."),
    (r"readonly database|read-only transaction", "{name} would change the database; only reading is allowed."),
    (r"Failed to connect", "{where} cannot be opened: {said}"),
)  # fmt: skip
"""What drivers write -> the sentence for it."""


def _sentence(whole: str, said: str, where: str, name: str, columns: Sequence[str]) -> str:
    number = re.search(r"in column (\d+)", whole)
    column = columns[int(number[1])] if number and int(number[1]) < len(columns) else ""
    for pattern, sentence in _CAUSES:
        if re.search(pattern, whole):
            return sentence.format(where=where, name=name, said=said, column=column)
    return f"{name} cannot be read: {said}"


def _said(error: Exception, secrets: Sequence[str]) -> str:
    """The line of the server, or of the library, that says what is wrong."""
    details = dict(getattr(error, "details", None) or [])
    primary = details.get(b"PG_DIAG_MESSAGE_PRIMARY")
    text = primary.decode("utf-8", "replace") if primary else str(error)
    line = (text.strip().splitlines() or [type(error).__name__])[0]
    line = re.sub(r"^[A-Z_]+: |\[libpq\] |\[SQLite\] |Failed to [\w ]+: |^\w+ Error: |(ERROR|FATAL):\s+", "", line)
    for secret in filter(None, secrets):
        line = line.replace(secret, "***")
    return line[:200].rstrip(".") + "."
