"""faults.c between a process and the system: what it counts, and where it lets the disk be full or kills."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY = Path(__file__).with_name("faults.c")
PRELOADED = "LD_PRELOAD"


def under_the_library() -> None:
    """Start this script again with faults.c between it and the system, unless that has been done."""
    if PRELOADED in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="llmesr-faults-"))
    built = folder / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(built), str(LIBRARY), "-ldl"], check=True)
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, PRELOADED: str(built)})


def allow(place: Path, steps: int, *, kill: bool) -> None:
    """Called in the child: after so many steps below ``place`` the disk is full, or, with ``kill``, the process is
    killed just before the next. A step is a write, a sync or a new name, and with ``kill`` a removal too."""
    ctypes.CDLL(None).disk_watch(f"{place}/".encode(), ctypes.c_long(steps), int(kill))


def count(place: Path, counted: Path, kill: bool) -> None:
    disk, exit_ = ctypes.CDLL(None), os._exit
    allow(place, -1, kill=kill)

    def counting(code: int) -> None:
        steps = disk.disk_writes()
        disk.disk_watch(b"", ctypes.c_long(-1), 0)
        counted.write_text(str(steps))
        exit_(code)

    os._exit = counting  # type: ignore[assignment]  # the child ends by it
