"""faults.c between a process and the system: what it counts, and where it lets the disk be full or kills."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LIBRARY = Path(__file__).with_name("faults.c")
PRELOADED = "LD_PRELOAD"
_ARTIFACT = re.compile(r"(artifacts/\w+)/[^/.][^/]*")
_VARIABLE = re.compile(r"(?<=\.scratch\.)\w+|(?<=\.tmp)\w+|[0-9a-f]{8,}|\d+")  # what is random whole, first


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


def note_steps(place: Path, noted: Path, kill: bool) -> None:
    """Called in the child: every step below ``place`` is written down in the file ``noted``; nothing fails."""
    allow(place, -1, kill=kill)
    ctypes.CDLL(None).disk_list(str(noted).encode())


def steps(noted: Path, place: Path) -> list[str]:
    """The steps that were written down: call and file, without what is another in each run (numbers, random names)."""
    lines = noted.read_text().splitlines() if noted.exists() else []
    return [anonymous(line.replace(f"{place}/", "", 1)) for line in lines]


def anonymous(name: str) -> str:
    """A name or step without what is another in each run: numbers, random parts."""
    return _VARIABLE.sub("*", name)


def role(step: str) -> str:
    """A step without the name of the artifact: the same for every run that is trained alike."""
    return _ARTIFACT.sub(r"\1/*", step)


def telling(steps: Sequence[str], tried: set[tuple[str, str]] | None = None) -> list[int]:
    """The steps worth a trial each: every one, but of those that come again (the same call on the same file after the
    same step before) the first and the last, and none of those in ``tried``, to which all are added."""
    places: dict[tuple[str, str], list[int]] = {}
    for number, pair in enumerate(zip(["", *steps], steps, strict=False)):
        places.setdefault(pair, []).append(number)
    known = set() if tried is None else tried
    new = [found for pair, found in places.items() if pair not in known]
    known.update(places)
    return sorted({number for found in new for number in (found[0], found[-1])})
