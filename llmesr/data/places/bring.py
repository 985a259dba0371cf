"""The one way in: whatever is given becomes local files, each with its provenance."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa

from llmesr.data.places import address, database, tables
from llmesr.data.places.connections import PREFIX, connection
from llmesr.data.places.stream import write
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.store import Store

LIMIT = 100_000_000_000
"""Octets that one import may bring from elsewhere, unless more is allowed."""


@dataclass
class Brought:
    """Local files and folders, and where those came from that were not here: what the manifest says of them."""

    paths: list[Path] = field(default_factory=list)
    origins: dict[Path, dict[str, str]] = field(default_factory=dict)

    def add(self, path: Path, origin: Mapping[str, str]) -> None:
        self.paths.append(path)
        self.origins[path] = dict(origin)


@contextlib.contextmanager
def brought(
    sources: Sequence[Any],
    store: Store,
    *,
    sql: Sequence[str] = (),
    limit: int = LIMIT,
    progress: Progress = silent,
    rows: int | None = None,
    redirects: bool = True,
) -> Iterator[Brought]:
    """Files of all ``sources``: paths as they are, databases (one, with its queries ``sql``), addresses, Delta and
    Iceberg tables (their folders), connections (``connection:NAME``) and frames (pandas, polars, Arrow, whatever has an
    Arrow stream).

    ``rows``: of queries, no more than these; without ``redirects``, a web server that sends on to another address is
    not followed. What was made is gone when the block ends; a fetch that was cut, or whose
    block failed, is kept for the next attempt. UserError says in one sentence what cannot be had, and why.
    """
    keep = store.work_folder("addresses")
    with contextlib.ExitStack() as stack:
        scratch = functools.cache(lambda: stack.enter_context(store.scratch()))  # files that are here need none
        bringer = _Bringer(scratch, keep, limit, progress, list(sql), rows=rows, redirects=redirects)
        for source in sources:
            bringer.bring(source)
        if bringer.queries:
            raise UserError("--sql asks a database, and none is given; such as postgresql://USER@HOST/DATABASE.")
        yield bringer.found
        for text in bringer.fetched:
            address.forget(text, keep)


class _Bringer:
    """Brings one source after the other into the folder ``scratch``; what is fetched lies in ``keep``."""

    def __init__(
        self,
        scratch: Callable[[], Path],
        keep: Path,
        limit: int,
        progress: Progress,
        queries: list[str],
        *,
        rows: int | None,
        redirects: bool,
    ) -> None:
        self.scratch, self.keep, self.limit, self.progress = scratch, keep, limit, progress
        self.rows, self.redirects = rows, redirects
        self.queries = queries
        """Queries that no database has been asked yet."""
        self.found = Brought()
        self.fetched: list[str] = []
        self._frames = 0

    def bring(self, source: Any) -> None:
        if not isinstance(source, (str, Path)):
            self._frame(source)
            return
        text, password = str(source), None
        own: tuple[str, ...] = ()
        if text.startswith(PREFIX):
            named = connection(text)
            text, password, own = named.url, named.secret(), named.sql
        if database.kind_of(text) is not None:
            self._database(text, password, own)
        elif "://" in text:
            self.fetched.append(text)
            fetched = address.fetch(text, self.keep, limit=self.limit, progress=self.progress, redirects=self.redirects)
            for path, origin in fetched:
                self.found.add(path, origin)
        elif kind := tables.kind_of(_names(Path(source))):
            with tables.opened(Path(source), kind) as (rows, origin):
                self._write(_first(rows, self.rows), f"table {Path(source).resolve().name}", origin)
        else:
            self.found.paths.append(Path(source))

    def _database(self, text: str, password: str | None, own: Sequence[str]) -> None:
        asked, self.queries = self.queries or list(own), []
        if not asked:
            raise UserError(f'{database.shown(text)} is a database; say what to read with --sql "SELECT ...".')
        for number, query in enumerate(asked, 1):
            name = f"query {number}"
            with database.opened(text, query, name, password) as reader:
                self._write(_first(reader, self.rows), name, {"from": database.shown(text), "sql": query})

    def _frame(self, frame: Any) -> None:
        self._frames += 1
        name = f"frame {self._frames}"
        self._write(_stream(frame, name), name, {"from": f"a frame of {type(frame).__module__.partition('.')[0]}"})

    def _write(self, batches: pa.RecordBatchReader, name: str, origin: Mapping[str, str]) -> None:
        target = self.scratch() / name
        if target.exists():
            raise UserError("Give one database at a time, and tables of different names.")
        write(batches, target, name, self.limit, self.progress)
        self.found.add(target, origin)


def default_name(source: str) -> str:
    """What a dataset of a source is called when nobody says: its file, database or connection."""
    if source.startswith(PREFIX):
        return source.removeprefix(PREFIX)
    if "://" in source:
        path = PurePosixPath(urlsplit(source).path.rstrip("/"))
        return path.name.partition(".")[0] or "data"
    return Path(source).resolve().name.partition(".")[0]


def _names(path: Path) -> list[str]:
    """What is in a folder; nothing in what is none."""
    return [p.name for p in path.iterdir()] if path.is_dir() else []


def _stream(frame: Any, name: str) -> pa.RecordBatchReader:
    """A frame as Arrow batches. UserError where a column holds values of several kinds."""
    try:
        if isinstance(frame, pd.DataFrame):
            return pa.Table.from_pandas(frame, preserve_index=False).to_reader()
        return pa.RecordBatchReader.from_stream(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        named = re.search(r"for column (.*) with type", " ".join(map(str, error.args)))
        column = f"column {named[1]!r}" if named else "a column"
        raise UserError(
            f"{name}: {column} holds values of several types; give it one, such as with astype(str)."
        ) from error
    except TypeError as error:
        raise UserError(
            f"{type(frame).__name__} cannot be read: give paths, addresses, or frames of pandas, polars or Arrow."
        ) from error


def _first(reader: pa.RecordBatchReader, rows: int | None) -> pa.RecordBatchReader:
    """No more than ``rows`` rows of a stream."""
    if rows is None:
        return reader

    def some() -> Iterator[pa.RecordBatch]:
        left = rows
        while left > 0 and (batch := next(reader, None)) is not None:
            yield batch[:left]
            left -= len(batch)

    return pa.RecordBatchReader.from_batches(reader.schema, some())
