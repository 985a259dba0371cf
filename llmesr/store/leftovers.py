"""Hidden folders beside the artifacts: what is being written, replaced or deleted, and what a killed process left."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from llmesr.store.lock import Held, is_locked, locked
from llmesr.store.manifest import MANIFEST, parse_manifest

SCRATCH, REPLACED, DELETED, GIVING_WAY = ".scratch.", ".replaced.", ".deleted.", ".giving-way."
QUARANTINE = "quarantine"
YOUNG = 60.0
"""Seconds for which a hidden folder without a lock is left alone: somebody may be renaming or removing it."""
OLD = 86_400.0
"""Seconds for which one of a version before is left alone: somebody may be writing to it."""
_EARLIER = re.compile(r"\.(?P<id>[A-Za-z0-9][A-Za-z0-9._-]*)-[a-z0-9_]{8}")
"""How versions before named what they were writing, replacing and deleting: all alike, and without a lock."""


def hidden(path: Path, prefix: str) -> Path:
    """A name beside ``path`` that no reader looks at: prefix, the name itself, a number."""
    return path.with_name(f"{prefix}{path.name}.{time.time_ns()}")


def heal(folder: Path) -> None:
    """Put back, in the folder of a kind, the artifacts that were being replaced; remove everything else that is hidden,
    ours and nobody's."""
    entries = [e for e in folder.iterdir() if e.name.startswith(".")] if folder.is_dir() else []
    for entry in entries:
        if entry.name.startswith(GIVING_WAY):
            _put_back(entry)
            continue
        if entry.name.startswith(REPLACED):
            _settle(entry)
            continue
        ours = entry.name.startswith((SCRATCH, DELETED))
        earlier = None if ours else _EARLIER.fullmatch(entry.name)
        if not (ours or earlier) or not entry.is_dir() or _in_use(entry, OLD if earlier else YOUNG):
            continue
        if earlier and not (folder / earlier["id"]).exists() and _is_whole(entry):
            with contextlib.suppress(OSError):  # as below
                entry.rename(folder / earlier["id"])
        else:
            shutil.rmtree(entry, ignore_errors=True)  # a root that cannot be written stays as it is


def places(final: Path) -> Iterator[Path]:
    """Where to look for an artifact, one after the other, until it is found: while it is being replaced its folder is
    away for a moment, and when that was killed, until somebody puts it back, which is done here."""
    yield final
    if not final.is_dir():
        beside = final.parent.glob(f"{REPLACED}{final.name}.*")
        for entry in [entry for entry in beside if replaced_id(entry.name) == final.name]:
            _settle(entry)
            yield entry
    yield final  # put back, or the new one


def replaced_id(name: str) -> str:
    """Of what a hidden folder of something being replaced is."""
    return name.removeprefix(REPLACED).rpartition(".")[0]


def _settle(entry: Path) -> None:
    """Put back an artifact whose replacement was killed, or leave it to be removed where the new one is there. Whoever
    replaces one holds the lock of the root meanwhile, so that nobody has to wait until it is old."""
    final = entry.with_name(replaced_id(entry.name))
    with contextlib.suppress(Held, OSError), locked(entry.parent.parent, wait=False, make=False):
        entry.rename(hidden(final, DELETED) if final.exists() else final)


def _put_back(entry: Path) -> None:
    """An artifact in whose place another was being made by a process that was killed. Whoever makes it holds the lock
    from before it is hidden."""
    final = entry.with_name(entry.name.removeprefix(GIVING_WAY).rpartition(".")[0])
    try:
        if not is_locked(entry) and not final.exists():
            entry.rename(final)
        elif not is_locked(entry):
            quarantined(entry, final.name)
    except OSError:  # it went meanwhile, or the root cannot be written
        return


def quarantined(folder: Path, name: str) -> Path:
    """Move a folder of a kind to where nobody reads it; where it lies now."""
    aside = folder.parent.parent / QUARANTINE / folder.parent.name / f"{name}.{time.time_ns()}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    return folder.rename(aside)


def _in_use(folder: Path, young: float) -> bool:
    """Whether a hidden folder may still be somebody's: its lock is held, or it was made or renamed less than ``young``
    seconds from now. A time far in the future is that of a clock which was wrong, and protects nothing."""
    try:
        return is_locked(folder) or abs(time.time() - folder.stat().st_ctime) < young
    except OSError:  # it went meanwhile
        return True


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds an artifact with all the files that its manifest names."""
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return all((folder / name).is_file() for name in manifest.files)
