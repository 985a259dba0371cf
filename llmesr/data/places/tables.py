"""Folders that are Delta or Iceberg tables, each read by its own library: their files hold deleted rows too.

Such a folder may come from others, and names the files it consists of: what lies outside it is not read, and nothing
that it says of how it is to be read is followed.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from llmesr.errors import UserError, is_full

Kind = Literal["Delta", "Iceberg"]
METADATA = ".metadata.json"
VECTOR_NAME = 20
"""Characters of the name of a deletion vector in the folder, behind a prefix that is a folder's."""


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

    _check_log(folder)
    table = DeltaTable(str(folder))
    for path in pa.table(table.get_add_actions()).column("path").to_pylist():
        _check_inside(folder, path)
    rows = QueryBuilder().register("t", table).execute("SELECT * FROM t")  # streams, and leaves out deleted rows
    return pa.RecordBatchReader.from_stream(rows), {"from": str(folder), "table": f"Delta, version {table.version()}"}


def _iceberg(folder: Path) -> tuple[pa.RecordBatchReader, dict[str, str]]:
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
    from pyiceberg.serializers import FromInputFile
    from pyiceberg.table import StaticTable

    class Inside(PyArrowFileIO):
        """Opens files of the folder alone, also those that were ``written`` elsewhere before it was copied. The
        library's own way in takes the class that opens files, any that can be imported, from what the table says."""

        written = ""

        def new_input(self, location: str) -> PyArrowFile:
            if self.written and location.startswith(f"{self.written}/"):
                location = f"{folder.resolve()}/{location.removeprefix(f'{self.written}/')}"
            _check_inside(folder, location)
            return super().new_input(location)

    written = [p for p in (folder / "metadata").iterdir() if p.name.endswith(METADATA)]
    if not written:
        raise UserError(f"{folder} looks like an Iceberg table, but no file {METADATA} says what is in it.")
    newest, inside = max(written, key=_version), Inside()
    described = FromInputFile.table_metadata(inside.new_input(str(newest.resolve())))
    inside.written = described.location.rstrip("/")
    table: Any = StaticTable(("table",), described, str(newest), inside, NoopCatalog("none"))
    return table.scan().to_arrow_batch_reader(), {"from": str(folder), "table": f"Iceberg, {newest.name}"}


def _check_log(folder: Path) -> None:
    """UserError unless the log of a Delta table and the deletion vectors that it names lie in its folder. The library
    opens a vector wherever it is, and its error tells what it found there."""
    for path in sorted(p for p in (folder / "_delta_log").rglob("*") if not p.is_dir()):
        _check_inside(folder, str(path))
        for vector in _deletion_vectors(path):
            stored, named = vector["storageType"], str(vector["pathOrInlineDv"])
            prefix = named[:-VECTOR_NAME] if stored == "u" else ""
            if not re.fullmatch(r"[\w-]*", prefix):
                raise UserError(f"{folder} names a file that does not lie in it, which is not read: {named[:200]}")
            if stored == "p":
                _check_inside(folder, named)


def _deletion_vectors(path: Path) -> Iterator[dict[str, Any]]:
    """What a file of a Delta log says of deletion vectors: each with ``storageType`` and ``pathOrInlineDv``, every pair
    of them where a name is there twice."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        if any(column.path.startswith("add.deletionVector.") for column in file.schema):
            for batch in file.iter_batches(columns=["add.deletionVector"]):
                adds = (row["add"] for row in batch.to_pylist())
                yield from (add["deletionVector"] for add in adds if add and add["deletionVector"])
    elif path.suffix == ".json":
        found: list[dict[str, Any]] = []

        def seen(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            kinds, names = ([v for k, v in pairs if k == name] for name in ("storageType", "pathOrInlineDv"))
            found.extend({"storageType": k, "pathOrInlineDv": n} for k in kinds for n in names)
            return dict(pairs)

        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    json.loads(line, object_pairs_hook=seen)
        yield from found


def _check_inside(folder: Path, named: str) -> None:
    """UserError unless a file that a table names, by a path from its folder or an absolute one, lies in the folder:
    not elsewhere by ``..``, however it is written, by a link, or at a remote address."""
    for path in (named, unquote(named)):
        local = path.removeprefix("file://")
        remote = re.match(r"[A-Za-z][\w+.-]*:/", local)
        if remote or not (folder / local).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{folder} names a file that does not lie in it, which is not read: {named[:200]}")


def _version(metadata: Path) -> tuple[int, str]:
    """``00002-….metadata.json`` and ``v2.metadata.json`` are the second version."""
    number = re.match(r"v?(\d+)", metadata.name)
    return int(number[1]) if number else -1, metadata.name


def _a(kind: Kind) -> str:
    return "a Delta" if kind == "Delta" else "an Iceberg"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
