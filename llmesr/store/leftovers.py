"""Hidden folders beside the artifacts: what is being written, replaced or deleted, and what a killed process left."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from llmesr.store.lock import is_locked

SCRATCH, REPLACED, DELETED = ".scratch.", ".replaced.", ".deleted."
YOUNG = 60.0
"""Seconds for which a hidden folder without a lock is left alone: somebody may be renaming or removing it."""


def hidden(path: Path, prefix: str) -> Path:
    """A name beside ``path`` that no reader looks at: prefix, the name itself, a number."""
    return path.with_name(f"{prefix}{path.name}.{time.time_ns()}")


def heal(folder: Path) -> None:
    """Remove what killed processes left in ``folder``, put back what was being replaced. Nothing in use is touched."""
    entries = [e for e in folder.iterdir() if e.name.startswith(".")] if folder.is_dir() else []
    for entry in entries:
        ours = entry.name.startswith((SCRATCH, REPLACED, DELETED))
        if not ours or not entry.is_dir() or _in_use(entry):
            continue
        final = folder / entry.name.removeprefix(REPLACED).rpartition(".")[0]
        if entry.name.startswith(REPLACED) and not final.exists():
            entry.rename(final)
        else:
            shutil.rmtree(entry, ignore_errors=True)  # a root that cannot be written stays as it is


def _in_use(folder: Path) -> bool:
    """Whether a hidden folder may still be somebody's: its lock is held, or it has just been made or renamed."""
    try:
        return is_locked(folder) or time.time() - folder.stat().st_ctime < YOUNG
    except OSError:  # it went meanwhile
        return True
