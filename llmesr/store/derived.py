"""What is only a faster form of an artifact's files, kept hidden beside them: made once, and again when they change.

It belongs to no manifest, is never sent or archived, and may be deleted at any time; it goes with the artifact.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmesr.store.files import file_digest, read_json, write_json
from llmesr.store.lock import LOCK, locked

RECORD = "made-of.json"
"""Written last: what stands beside it is whole, and what has no record is nothing."""


@contextlib.contextmanager
def derived(folder: Path, name: str, sources: Sequence[str], make: Callable[[Path], None]) -> Iterator[Path | None]:
    """The hidden folder of what ``make`` writes from the files ``sources`` of the artifact in ``folder``.

    Within the block nobody makes it again. None where it is not there and ``folder`` cannot be written to.
    """
    place = folder / f".{name}"
    stamps = {source: _stamp(folder / source) for source in sources}
    writable = os.access(folder, os.W_OK)
    with locked(place) if writable else contextlib.nullcontext():
        if not _valid(place, stamps):
            if not writable:
                yield None
                return
            _clear(place)
            make(place)
            files = {path.name: {**_size(path), "sha256": _synced(path)} for path in _files(place)}
            write_json(place / RECORD, {"sources": stamps, "files": files})
        yield place


def damaged(folder: Path) -> list[str]:
    """The derived files of the artifact in ``folder`` that are not as they were written, by their checksums."""
    wrong = []
    for record in sorted(folder.glob(f".*/{RECORD}")):
        for name, told in read_json(record, str(record.parent), "Delete it.")["files"].items():
            path = record.parent / name
            if not path.is_file() or file_digest(path) != told["sha256"]:
                wrong.append(path.relative_to(folder).as_posix())
    return wrong


def discard(folder: Path, names: Sequence[str]) -> None:
    """Remove the derived folders that the files ``names`` lie in; they are made again when they are needed."""
    for place in {folder / Path(name).parts[0] for name in names}:
        with locked(place):
            _clear(place)


def _stamp(path: Path) -> list[int]:
    """What changes when a file is written anew."""
    found = path.stat()
    return [found.st_mtime_ns, found.st_size]


def _valid(place: Path, stamps: dict[str, list[int]]) -> bool:
    """Whether a record is there, of ``sources`` as they are now, and files of the sizes it names."""
    if not (place / RECORD).is_file():
        return False
    record: dict[str, Any] = read_json(place / RECORD, str(place), "Delete that folder; it is made again.")
    whole = all(
        (place / name).is_file() and _size(place / name)["bytes"] == told["bytes"]
        for name, told in record["files"].items()
    )
    return bool(whole and record["sources"] == stamps)


def _files(place: Path) -> list[Path]:
    return [path for path in sorted(place.iterdir()) if path.name not in (LOCK, RECORD)]


def _clear(place: Path) -> None:
    """The record first: without it the rest is nothing."""
    for path in (place / RECORD, *_files(place)):
        path.unlink(missing_ok=True)


def _size(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size}


def _synced(path: Path) -> str:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
    return file_digest(path)
