"""One writer at a time, across processes. The system frees a lock when its holder dies, so none can go stale."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"


class Held(Exception):
    """Another process has the lock; carries its process id where that is known."""


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True, make: bool = True) -> Iterator[None]:
    """Hold the lock of a folder. Without ``wait``, :class:`Held` when it is taken. A folder that is missing is made;
    without ``make``, FileNotFoundError."""
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            handle.seek(0)
            raise Held(handle.read().strip()) from error
        with contextlib.suppress(OSError):  # a full disk keeps nobody from working; the number only helps people
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n")
            handle.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Whether somebody holds the lock of a folder now."""
    path = folder / LOCK
    if not path.is_file():
        return False
    with open(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
