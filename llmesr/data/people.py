"""A file of users -> what is known of each, typed, beside the catalogue: user_attributes.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.config import IngestConfig
from llmesr.data.catalogue import text
from llmesr.data.columns import resolve
from llmesr.data.dataset import USER_ATTRIBUTES
from llmesr.data.histories import Numbering
from llmesr.data.reader import Reader
from llmesr.data.reading import count, stage_items
from llmesr.data.rejects import check_item_rejects, tell_departures
from llmesr.data.report import Report
from llmesr.errors import UserError
from llmesr.prose import counted, listed

TABLE = "people"
TYPES = ("BIGINT", "DOUBLE")


def load(
    connection: duckdb.DuckDBPyConnection, readers: Sequence[Reader], config: IngestConfig, report: Report
) -> list[str]:
    """Read the files of users into table ``people`` (user_id, a0, a1, ...).

    Returns the attribute names. UserError when too many lines cannot be used, or nothing but an id is there.
    """
    if not readers:
        return []
    source = readers[0].source
    mapping = resolve(source.name, source.columns, source.interaction_guess, config.user_columns, ("user_id",))
    user = mapping["user_id"]
    unwanted = {name for name, column in config.user_columns.items() if not column}
    named = {column: name for name, column in config.user_columns.items() if column and name != "user_id"}
    chosen = {named.get(c, c): c for c in source.columns if c != user and c not in unwanted}
    if not chosen:
        raise UserError(f"{source.name} holds only the ids of users; give attributes beside them, or leave it out.")
    cells = "".join(f", a{i} VARCHAR" for i in range(len(chosen)))
    connection.execute(f"CREATE TABLE {TABLE}(user_id VARCHAR{cells})")
    for reader in readers:
        stage_items(connection, reader, user, {n: text(reader.column(c)) for n, c in chosen.items()}, table=TABLE)
    tell_departures(readers, report)
    check_item_rejects(connection, [r.source.name for r in readers], config, report, table=TABLE)
    report.info("user_columns", f"Users are identified by {user!r} and described by {listed([*map(repr, chosen)])}.")
    return list(chosen)


def write(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    numbering: Numbering,
    names: Sequence[str],
    report: Report,
) -> dict[str, int]:
    """Write user_attributes.parquet: a row for each user in the order of their index, null where nothing is known.

    A column is of whole numbers, of numbers or of text, whichever all its values are (with leading zeros: text).
    Returns how many users are described. UserError when the file knows none of the users.
    """
    if not names:
        return {}
    kept = pa.table(
        {"code": np.arange(len(numbering.user_index), dtype=np.int32), "number": pa.array(numbering.user_index)}
    )
    connection.register("numbers", kept)
    connection.execute(
        f"CREATE TABLE known AS SELECT user_id, min(rowid) AS row, count(*) AS times FROM {TABLE} "
        "WHERE user_id IS NOT NULL GROUP BY user_id"
    )
    connection.execute(
        "CREATE TABLE described_users AS SELECT n.number, u.id, k.row FROM numbers n JOIN users u USING (code) "
        "LEFT JOIN known k ON k.user_id = u.id WHERE n.number >= 0"
    )
    connection.unregister("numbers")
    described = _check(connection, report)
    source = f"FROM described_users d LEFT JOIN {TABLE} p ON p.rowid = d.row"
    cells = "".join(f", {_typed(connection, f'a{i}', source)} AS a{i}" for i in range(len(names)))
    query = f"SELECT d.id{cells} {source} ORDER BY d.number"
    table = connection.sql(query).to_arrow_table().rename_columns(["user_id", *names])
    pq.write_table(table, folder / USER_ATTRIBUTES)
    return {"users_with_attributes": described}


def _typed(connection: duckdb.DuckDBPyConnection, cell: str, source: str) -> str:
    """SQL for a column as the narrowest type that loses nothing of any of its values."""
    for kind in TYPES:
        exact = f"try_cast({cell} AS {kind}) IS NOT NULL AND NOT regexp_full_match({cell}, '[-+]?0[0-9].*')"
        finite = f"AND isfinite(try_cast({cell} AS {kind}))" if kind == "DOUBLE" else f"AND NOT contains({cell}, '.')"
        if not count(connection, f"SELECT count(*) {source} WHERE {cell} <> '' AND NOT ({exact} {finite})"):
            return f"try_cast(nullif({cell}, '') AS {kind})"
    return f"nullif({cell}, '')"


def _check(connection: duckdb.DuckDBPyConnection, report: Report) -> int:
    """Tell of users without a row, rows without a user, and repeated rows; how many users are described."""
    total = count(connection, "SELECT count(*) FROM described_users")
    described = count(connection, "SELECT count(*) FROM described_users WHERE row IS NOT NULL")
    ids = "SELECT id FROM described_users WHERE row IS NULL ORDER BY number LIMIT 5"
    missing = [str(i) for (i,) in connection.execute(ids).fetchall()]
    if not described:
        theirs = connection.execute("SELECT user_id FROM known ORDER BY row LIMIT 1").fetchall()
        raise UserError(
            f"No user of the interactions (such as {missing[0]!r}) is in the file of users (such as "
            f"{theirs[0][0] if theirs else 'nothing'!r}); check that both use the same ids, or name the column with "
            "--user-column user_id=NAME."
        )
    report.info("users_described", f"{described:,} of {counted(total, 'user')} are described.", described)
    if described < total:
        absent = total - described
        report.warn("missing_users", f"{counted(absent, 'user')} not in the file of users.", absent, missing)
    again = count(connection, "SELECT coalesce(sum(times - 1), 0) FROM known")
    if again:
        report.warn(
            "duplicate_users", f"{counted(again, 'user row')} with an id seen before: the first is used.", again
        )
    no_id = count(connection, f"SELECT count(*) FROM {TABLE} WHERE user_id IS NULL")
    if no_id:
        report.warn("users_without_id", f"{counted(no_id, 'user row')} without an id: not used.", no_id)
    return described
