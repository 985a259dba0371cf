"""Staged rows -> time-ordered histories: coded, sorted, freed of duplicates, cut to the k-core, written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.kcore import CHUNK, k_core
from llmesr.data.reading import count
from llmesr.data.split import MIN_HISTORY

BATCH = 1_000_000
COLUMNS = {"user": np.int32, "item": np.int32, "time": np.int64, "line": np.int64, "weight": np.float32}


@dataclass
class Cleaned:
    """What cleaning counted; examples are (user code, item code), and user codes."""

    duplicates: int = 0
    duplicate_examples: list[tuple[int, int]] = field(default_factory=list)
    repeats: int = 0
    tied: int = 0
    tie_examples: list[int] = field(default_factory=list)
    kept: int = 0


def encode(connection: duckdb.DuckDBPyConnection, min_weight: float | None) -> tuple[int, int]:
    """Tables ``users`` and ``items`` (id, code): codes from 0 by first appearance. Returns how many of each."""
    good = "reason = 0" + (f" AND weight >= {min_weight!r}" if min_weight is not None else "")
    connection.execute(f"CREATE VIEW good AS SELECT rowid AS line, * FROM staged WHERE {good}")
    sizes = []
    for table, column in (("users", "user_id"), ("items", "item_id")):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {column} AS id, (row_number() OVER (ORDER BY first) - 1)::INT AS code "
            f"FROM (SELECT {column}, min(line) AS first FROM good GROUP BY {column})"
        )
        sizes.append(count(connection, f"SELECT count(*) FROM {table}"))
    return sizes[0], sizes[1]


def clean(
    connection: duckdb.DuckDBPyConnection, folder: Path, *, timed: bool, repeats: str, n_items: int
) -> tuple[dict[str, np.ndarray], Cleaned]:
    """Sort by user, time and file order; drop exact duplicates; apply the policy for repeats.

    An exact duplicate is the same user, item and time; it can only be told when there are times.
    Returns the columns as read-only memory maps under ``folder``, sorted, and the counts.
    """
    counts = Cleaned()
    files = {name: open(folder / f"{name}.bin", "wb") for name in COLUMNS}  # noqa: SIM115
    try:
        for block in _blocks(_sorted(connection, timed)):
            block = _deduplicate(block, counts) if timed else block
            block = _repeats(block, repeats, n_items, counts)
            if timed:
                _ties(block, counts)
            counts.kept += len(block["user"])
            for name, file in files.items():
                block[name].tofile(file)
    finally:
        for file in files.values():
            file.close()
    return {n: _mapped(folder / f"{n}.bin", dtype) for n, dtype in COLUMNS.items()}, counts


def _mapped(path: Path, dtype: type) -> np.ndarray:
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)


def _sorted(connection: duckdb.DuckDBPyConnection, timed: bool) -> Iterator[dict[str, np.ndarray]]:
    order = "u.code, time, line" if timed else "u.code, line"
    query = connection.sql(
        "SELECT u.code AS user, i.code AS item, coalesce(time, 0) AS time, line, "
        "CASE WHEN isfinite(weight) THEN weight ELSE 'nan'::FLOAT END AS weight "
        f"FROM good JOIN users u ON good.user_id = u.id JOIN items i ON good.item_id = i.id ORDER BY {order}"
    )
    for batch in query.to_arrow_reader(BATCH):
        yield {name: batch.column(name).to_numpy(zero_copy_only=False).astype(t) for name, t in COLUMNS.items()}


def _blocks(batches: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """Cut the stream between users, so that every block holds whole histories."""
    rest: dict[str, np.ndarray] | None = None
    for batch in batches:
        if rest is not None:
            batch = {n: np.concatenate([rest[n], batch[n]]) for n in batch}
        last = int(np.searchsorted(batch["user"], batch["user"][-1]))
        rest = {n: v[last:] for n, v in batch.items()}
        if last:
            yield {n: v[:last] for n, v in batch.items()}
    if rest is not None:
        yield rest


def _tied(block: dict[str, np.ndarray]) -> np.ndarray:
    """Rows with the same user and time as the row before."""
    user, time = block["user"], block["time"]
    same = np.zeros(len(user), dtype=bool)
    same[1:] = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    return same


def _deduplicate(block: dict[str, np.ndarray], counts: Cleaned) -> dict[str, np.ndarray]:
    tied = _tied(block)
    if not tied.any():
        return block
    involved = tied.copy()
    involved[:-1] |= tied[1:]
    rows = np.flatnonzero(involved)
    keys = [block[n][rows] for n in ("item", "time", "user")]
    order = np.lexsort(keys)  # stable: file order inside equal keys
    again = np.ones(len(rows), dtype=bool)
    again[0] = False
    for key in keys:
        again[1:] &= key[order][1:] == key[order][:-1]
    drop = rows[order[again]]
    counts.duplicates += len(drop)
    for row in drop[: 5 - len(counts.duplicate_examples)].tolist():
        counts.duplicate_examples.append((int(block["user"][row]), int(block["item"][row])))
    return {n: np.delete(v, drop) for n, v in block.items()}


def _repeats(block: dict[str, np.ndarray], policy: str, n_items: int, counts: Cleaned) -> dict[str, np.ndarray]:
    key = block["user"].astype(np.int64) * n_items + block["item"]
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    counts.repeats += int(same.sum())
    if policy == "keep" or not same.any():
        return block
    keep = np.ones(len(key), dtype=bool)
    keep[order[1:][same] if policy == "first" else order[:-1][same]] = False
    return {n: v[keep] for n, v in block.items()}


def _ties(block: dict[str, np.ndarray], counts: Cleaned) -> None:
    tied = np.flatnonzero(_tied(block))
    counts.tied += len(tied)
    for user in dict.fromkeys(block["user"][tied[:100]].tolist()):
        if len(counts.tie_examples) < 5:
            counts.tie_examples.append(user)


@dataclass(frozen=True)
class Numbering:
    """What the k-core kept: new user index and item number per code (-1 and 0 for those dropped)."""

    user_index: np.ndarray  # (user codes,) int32
    item_number: np.ndarray  # (item codes,) int32
    n_users: int
    n_items: int
    interactions: int
    rounds: int
    short_users: int
    """Users with fewer than three interactions, for training only."""


def number(columns: dict[str, np.ndarray], n_users: int, n_items: int, k: int) -> Numbering:
    """Apply the k-core and number what is left in the order of the codes."""
    users, items, rounds = k_core(columns["user"], columns["item"], n_users, n_items, k)
    lengths = np.zeros(n_users, np.int64)
    for part in _parts(columns, ("user", "item")):
        lengths += np.bincount(part["user"][items[part["item"]]], minlength=n_users)
    lengths[~users] = 0
    user_index = np.where(users, np.cumsum(users) - 1, -1).astype(np.int32)
    item_number = np.where(items, np.cumsum(items), 0).astype(np.int32)
    short = int(((lengths > 0) & (lengths < MIN_HISTORY)).sum())
    return Numbering(user_index, item_number, int(users.sum()), int(items.sum()), int(lengths.sum()), rounds, short)


def _parts(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(columns["user"]), CHUNK):
        yield {n: np.asarray(columns[n][start : start + CHUNK]) for n in names}


def tied_targets(columns: dict[str, np.ndarray], numbering: Numbering) -> dict[str, int]:
    """Of how many users the last interaction (test) and the one before it (valid) have the time of the one before them,
    as precisely as times were read. Users that a leave-one-out split asks alone."""
    length = np.zeros(numbering.n_users, np.int64)
    last, earlier = np.zeros((2, numbering.n_users), bool)  # whether the newest so far, and the one before it, is tied
    before = (-1, 0)
    for part in _parts(columns, ("user", "item", "time")):
        user, item = numbering.user_index[part["user"]], numbering.item_number[part["item"]]
        keep = (user >= 0) & (item > 0)
        user, time = user[keep], part["time"][keep]
        if not len(user):
            continue
        same = np.diff(user, prepend=before[0]) == 0
        tied = same & (np.diff(time, prepend=before[1]) == 0)
        before = (int(user[-1]), int(time[-1]))
        at = np.flatnonzero(np.append(user[1:] != user[:-1], True))  # the newest of each user in this part
        whose, alone = user[at], ~same[at] | (at == 0)  # of whom no earlier row is in this part
        earlier[whose] = np.where(alone, last[whose], tied[at - 1])
        last[whose] = tied[at]
        length += np.bincount(user, minlength=numbering.n_users)
    asked = length >= MIN_HISTORY
    return {"valid": int((earlier & asked).sum()), "test": int((last & asked).sum())}


def write(
    path: Path, columns: dict[str, np.ndarray], numbering: Numbering, *, time_divisor: int | None, weighted: bool
) -> None:
    """Write interactions.parquet: user, item and, where known, timestamp and weight; bounded memory.

    ``time_divisor`` turns stored time into the timestamp (1,000,000,000 for nanoseconds to seconds).
    """
    fields = [pa.field("user", pa.int32()), pa.field("item", pa.int32())]
    fields += [pa.field("timestamp", pa.int64())] if time_divisor else []
    fields += [pa.field("weight", pa.float32())] if weighted else []
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for part in _parts(columns, tuple(COLUMNS)):
            user, item = numbering.user_index[part["user"]], numbering.item_number[part["item"]]
            keep = (user >= 0) & (item > 0)
            arrays = [user[keep], item[keep]]
            arrays += [part["time"][keep] // time_divisor] if time_divisor else []
            arrays += [part["weight"][keep]] if weighted else []
            writer.write_table(pa.table([pa.array(a) for a in arrays], schema=schema))


def write_users(connection: duckdb.DuckDBPyConnection, path: Path, numbering: Numbering) -> None:
    """Write users.parquet: user_id in the order of the user index."""
    schema = pa.schema([pa.field("user_id", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        done = 0
        for batch in connection.sql("SELECT id FROM users ORDER BY code").to_arrow_reader(BATCH):
            keep = numbering.user_index[done : done + len(batch)] >= 0
            writer.write_table(pa.table([batch.column(0).filter(pa.array(keep))], schema=schema))
            done += len(batch)
