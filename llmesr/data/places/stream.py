"""Arrow batches, from wherever they come, as one Parquet file: never more than a few batches in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.data.fetch import check_limit
from llmesr.data.files import SPARE_DISK
from llmesr.errors import UserError
from llmesr.progress import Progress, silent

ROW_GROUP = 1 << 17
UNREADABLE = ("interval", "money", "oid", "record", "timetz")
"""Types of PostgreSQL that arrive as something else than their text: money in cents, oid beyond 2^31 negative."""


def write(batches: pa.RecordBatchReader, target: Path, name: str, limit: int, progress: Progress = silent) -> int:
    """Write all batches to ``target``; returns the rows.

    UserError when two columns have one name, when a column is of a type that has no exact text, when it grows beyond
    ``limit`` octets, and when the disk would run full. What was written until then is deleted.
    """
    schema = _schema(batches.schema, name)
    rows = 0
    try:
        with pq.ParquetWriter(target, schema, compression="zstd") as out:
            for batch in _gathered(batches):
                out.write_table(_cast(batch, schema), row_group_size=ROW_GROUP)
                rows += len(batch)
                progress(f"reading {name}", rows, 0)
                _check_room(target, name, limit)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return rows


def _gathered(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Tables of about a row group, so that small batches do not make small row groups."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= ROW_GROUP:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _check_room(target: Path, name: str, limit: int) -> None:
    check_limit(name, target.stat().st_size, limit)
    if shutil.disk_usage(target.parent).free < SPARE_DISK:
        raise UserError(f"{name} would fill the disk; free some space first.")


def _schema(found: pa.Schema, name: str) -> pa.Schema:
    """What is stored of each column. UserError where only a person can say how it is to be read."""
    twice = next((c for c in found.names if found.names.count(c) > 1), None)
    if twice is not None:
        raise UserError(f"{name} has two columns named {twice!r}; give each a name of its own (AS name).")
    return pa.schema([pa.field(f.name, _stored(f, name)) for f in found])


def _stored(field: pa.Field, name: str) -> pa.DataType:
    kind = field.type
    metadata: dict[bytes, bytes] = field.metadata or {}
    told = metadata.get(b"POSTGRESQL:type", b"").decode()
    if isinstance(kind, pa.UuidType):
        return pa.string()
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    opaque = isinstance(kind, pa.OpaqueType) and not pa.types.is_string(storage)
    if told in UNREADABLE or opaque or pa.types.is_interval(storage):
        what = told or str(getattr(kind, "type_name", storage))
        raise UserError(
            f"Column {field.name!r} of {name} is of type {what}, which has no plain form here; turn it into text or a "
            f"number in the query, such as CAST({field.name} AS text), or leave it out."
        )
    if pa.types.is_dictionary(storage):
        return storage.value_type
    if pa.types.is_null(storage) or pa.types.is_string_view(storage):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(storage) else storage


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns: list[Any] = []
    for column, field in zip(table.columns, schema, strict=True):
        if isinstance(column.type, pa.UuidType):
            column = pa.chunked_array([pa.array(map(_uuid, column.to_pylist()), pa.string())])
        elif isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([c.storage for c in column.chunks], field.type)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.table(columns, schema=schema)


def _uuid(value: object) -> str | None:
    return None if value is None else str(value)
