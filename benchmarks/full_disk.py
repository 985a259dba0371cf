"""A disk that is full at every write of every command: what is said, and what is left?

    python benchmarks/full_disk.py [--only train,ingest] [--most 40] [--json FILE]

A small library (faults.c, built with the C compiler of the machine) stands between the process and the system and
counts what is written below the trial's folder, by Python, DuckDB, SQLite, Arrow and safetensors alike. For the first,
second, third ... write of a command it lets those before succeed and answers ENOSPC from there on. With ``--most``, so
many writes of each command are tried, evenly spread; 0 is all. After each: the command has ended with exit code 2 and a
sentence that says that the disk is full, nothing is torn, and with room again the same command succeeds and nothing is
left over.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from commands import Command, chosen, copy, import_all, prepare, redone, remains, run, tell, torn, under_the_library


def watch(place: Path, allowed: int, counted: Path | None = None) -> None:
    """Called in the child: count writes below ``place``, and let only ``allowed`` succeed (-1: all of them)."""
    disk = ctypes.CDLL(None)
    disk.disk_watch(f"{place}/".encode(), ctypes.c_long(allowed))
    if counted is not None:
        import atexit

        exit_ = os._exit

        def counting(code: int) -> None:
            writes = disk.disk_writes()
            disk.disk_watch(b"", ctypes.c_long(-1))
            counted.write_text(str(writes))
            exit_(code)

        atexit.unregister(counting)
        os._exit = counting  # type: ignore[assignment]  # the child ends by it


def count(base: Path, folder: Path, command: Command) -> int:
    """How many writes the command makes."""
    counted = folder / "counted"
    with copy(base, folder / "whole") as place:
        ended = run(command.words, place, first=partial(watch, place, -1, counted))
        if ended.code:
            raise SystemExit(f"llmesr {' '.join(command.words)}: {ended.code}\n{ended.said}")
    return int(counted.read_text())


def trial(base: Path, place: Path, command: Command, allowed: int) -> dict[str, list[str]]:
    """What was wrong when only ``allowed`` writes succeeded: ``said``, ``torn``, ``stuck``, ``remains``."""
    with copy(base, place):
        ended = run(command.words, place, first=partial(watch, place, allowed))
        last = ended.said.strip().splitlines()[-1] if ended.said.strip() else ""
        well = ended.code == 0 or (ended.code == 2 and ("is full" in last or "cannot be written" in last))
        found = {"said": [] if well and "Traceback" not in ended.said else [f"{ended.code}: {last}"]}
        found["torn"] = torn(place, command)
        again = redone(place, command)
        found["stuck"] = [] if again.code == 0 else [again.said.strip().splitlines()[-1] if again.said else "silence"]
        found["torn"] += torn(place, command)
        found["remains"] = remains(place)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--most", type=int, default=0, help="writes of each command that are tried; 0: every one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    under_the_library()
    import_all()
    tried: dict[str, str] = {}
    faults: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="llmesr-full-disk-") as folder:
        base = Path(folder) / "base"
        prepare(base)
        for name, command in chosen(arguments.only).items():
            writes = count(base, Path(folder), command)
            most = min(arguments.most or writes, writes)
            numbers = sorted({round(step * (writes - 1) / max(most - 1, 1)) for step in range(most)})
            for number in numbers:
                found = trial(base, Path(folder) / f"trial-{number}", command, number)
                if any(found.values()):
                    faults.append({"command": name, "write": number, **found})
                    print(faults[-1], file=sys.stderr, flush=True)
            tried[name] = f"{len(numbers)} of {writes}"
    tell({"tried": tried, "faults": faults}, arguments.json)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
