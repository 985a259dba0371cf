"""What is only a faster form of an artifact's files, kept hidden beside them: made once, and again when they change.

It belongs to no manifest, is never sent or archived, and may be deleted at any time; it goes with the artifact.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from llmesr.store.files import file_digest, write_json
from llmesr.store.lock import LOCK, locked

RECORD = "made-of.json"
"""Written last: what stands beside it is whole, and what has no record is nothing."""


class _File(BaseModel):
    bytes: int
    sha256: str | None
    """None of a file that is still written to."""


class _Record(BaseModel):
    """What the files were made of, and what they were when they had been."""

    sources: dict[str, list[int]]
    files: dict[str, _File]


@contextlib.contextmanager
def derived(
    folder: Path, name: str, sources: Sequence[str], make: Callable[[Path], None], *, growing: bool = False
) -> Iterator[Path | None]:
    """The hidden folder of what ``make`` writes from the files ``sources`` of the artifact in ``folder``.

    Within the block nobody makes it again. None where it is not there and ``folder`` cannot be written to. ``growing``:
    its files are written to afterwards, keep their sizes, and know by themselves what of them is whole.
    """
    place = folder / f".{name}"
    stamps = {source: _stamp(folder / source) for source in sources}
    writable = os.access(folder, os.W_OK)
    if writable:
        place.mkdir(exist_ok=True)  # and not the artifact's folder, which may have been deleted meanwhile
    with locked(place, make=False) if writable else contextlib.nullcontext():
        if not _valid(place, stamps):
            if not writable:
                yield None
                return
            _clear(place)
            try:
                make(place)
            except BaseException:
                _clear(place)  # a disk that it filled
                raise
            files = {
                path.name: _File(bytes=path.stat().st_size, sha256=None if growing else _synced(path))
                for path in _files(place)
            }
            write_json(place / RECORD, _Record(sources=stamps, files=files).model_dump())
        yield place


def damaged(folder: Path) -> list[str]:
    """The derived files of the artifact in ``folder`` that are not as they were written, by their checksums."""
    wrong = []
    for record in sorted(folder.glob(f".*/{RECORD}")):
        if (told := _record(record)) is None:
            wrong.append(record.relative_to(folder).as_posix())
            continue
        for name, was in told.files.items():
            path = record.parent / name
            if _bytes(path) != was.bytes or (was.sha256 is not None and file_digest(path) != was.sha256):
                wrong.append(path.relative_to(folder).as_posix())
    return wrong


def forget(place: Path) -> None:
    """Let what lies in a derived folder be made again at the next opening: it cannot be read. Call within the block."""
    (place / RECORD).unlink(missing_ok=True)


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
    record = _record(place / RECORD)
    return (
        record is not None
        and record.sources == stamps
        and all(_bytes(place / name) == was.bytes for name, was in record.files.items())
    )


def _record(path: Path) -> _Record | None:
    """None where it is not there, or damaged: what it is about is made again, which costs less than to ask."""
    try:
        return _Record.model_validate_json(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # a ValidationError is a ValueError
        return None


def _files(place: Path) -> list[Path]:
    return [path for path in sorted(place.iterdir()) if path.name not in (LOCK, RECORD)]


def _clear(place: Path) -> None:
    """The record first: without it the rest is nothing."""
    for path in (place / RECORD, *_files(place)):
        path.unlink(missing_ok=True)


def _bytes(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _synced(path: Path) -> str:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
    return file_digest(path)
