"""Folders that are Delta or Iceberg tables, each read by its own library: their files hold deleted rows too."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from llmesr.errors import UserError, is_full

Kind = Literal["Delta", "Iceberg"]
METADATA = ".metadata.json"


def kind_of(entries: Collection[str]) -> Kind | None:
    """What the names in a folder say it is."""
    if "_delta_log" in entries:
        return "Delta"
    return "Iceberg" if {"metadata", "data"} <= set(entries) else None


@contextlib.contextmanager
def opened(folder: Path, kind: Kind) -> Iterator[tuple[pa.RecordBatchReader, dict[str, str]]]:
    """The rows of the table as it stands, in batches, and what to remember of where they came from.

    UserError when its library is not installed, or cannot read it.
    """
    read = _delta if kind == "Delta" else _iceberg
    try:
        yield read(folder)
    except ImportError as error:
        raise UserError(
            f"{folder} is {_a(kind)} table; install what reads it: pip install 'llmesr[tables]' ({error})."
        ) from error
    except UserError:
        raise
    except Exception as error:  # of two libraries, each with its own kinds
        if is_full(error) or isinstance(error, MemoryError):
            raise  # where the rows go to, not where they come from
        raise UserError(f"{folder} is {_a(kind)} table that cannot be read: {_first_line(error)}.") from error


def _delta(folder: Path) -> tuple[pa.RecordBatchReader, dict[str, str]]:
    from deltalake import DeltaTable, QueryBuilder

    table = DeltaTable(str(folder))
    rows = QueryBuilder().register("t", table).execute("SELECT * FROM t")  # streams, and leaves out deleted rows
    return pa.RecordBatchReader.from_stream(rows), {"from": str(folder), "table": f"Delta, version {table.version()}"}


def _iceberg(folder: Path) -> tuple[pa.RecordBatchReader, dict[str, str]]:
    from pyiceberg.table import StaticTable

    written = [p for p in (folder / "metadata").iterdir() if p.name.endswith(METADATA)]
    if not written:
        raise UserError(f"{folder} looks like an Iceberg table, but no file {METADATA} says what is in it.")
    newest = max(written, key=_version)
    table: Any = StaticTable.from_metadata(str(newest))
    return table.scan().to_arrow_batch_reader(), {"from": str(folder), "table": f"Iceberg, {newest.name}"}


def _version(metadata: Path) -> tuple[int, str]:
    """``00002-….metadata.json`` and ``v2.metadata.json`` are the second version."""
    number = re.match(r"v?(\d+)", metadata.name)
    return int(number[1]) if number else -1, metadata.name


def _a(kind: Kind) -> str:
    return "a Delta" if kind == "Delta" else "an Iceberg"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
