"""A disk that is full at every write of every command: what is said, and what is left?

    python benchmarks/full_disk.py [--only train,ingest] [--most 40] [--all] [--minutes 60] [--noted FILE] [--json FILE]

A small library (faults.c, built with the C compiler of the machine) stands between the process and the system and
writes down what is written below the trial's folder, by Python, DuckDB, SQLite, Arrow and safetensors alike. For the
first, second, third ... write of a command it lets those before succeed and answers ENOSPC from there on. After each:
the command has ended with exit code 2 and a sentence that says that the disk is full, nothing is torn, and with room
again the same command succeeds and nothing is left over. It is not given again where the fault has left, file by file,
what an earlier one of the same command has left: that is tried.

Writes are tried in three rounds: those that differ among all commands, quick commands first, whatever their artifacts
are called; those that differ within their own command; with ``--all`` the rest. Of writes that come
again (the same call on the same file after the same write before) the first and the last count as different.
``--most``: so many of each command, evenly spread. With ``--noted`` each result is a line of that file, and the same
call goes on where an earlier one has ended (of the same code: else it is refused); ``--minutes`` ends it.

Commands that only read take part, with the writes they have, if any. Of ``serve`` and ``app`` no write can be counted:
the one ends by a signal, the process of the other is replaced by the server's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from children import import_all, run
from commands import COMMANDS, READERS, REPOSITORY, Command, chosen, tell
from faults import allow, role, telling, under_the_library
from trials import copy, looked_at, prepared, torn, whole

KINDS = ("said", "torn", "stuck", "remains")


def trial(base: Path, place: Path, command: Command, writes: int, known: set[str]) -> dict[str, list[str]]:
    """What was wrong when only so many ``writes`` succeeded: ``said``, ``torn``, ``stuck``, ``remains``."""
    with copy(base, place, command):
        before = torn(place, command)
        ended = run(command, place, first=partial(allow, place, writes, kill=False))
        well = ended.code == 0 or (ended.code == 2 and ("is full" in ended.last or "cannot be written" in ended.last))
        said = [] if well and "Traceback" not in ended.said else [f"{ended.code}: {ended.last}"]
        return {"said": said, **looked_at(place, command, before, known=known)}


def spread(numbers: list[int], most: int) -> list[int]:
    """At most so many of the ``numbers``, evenly spread, the first and the last among them; all where 0."""
    most = min(most or len(numbers), len(numbers))
    return [numbers[round(step * (len(numbers) - 1) / max(most - 1, 1))] for step in range(most)]


@dataclass
class Notes:
    """What is known: of each command its writes and seconds, and what each trial of it has found."""

    file: Path | None = None
    writes: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    found: dict[tuple[str, int | None], dict[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path | None) -> Notes:
        """What ``file`` holds, or none. SystemExit when it is of another code."""
        notes, code = cls(file), code_digest()
        for line in file.read_text().splitlines() if file is not None and file.exists() else []:
            entry = json.loads(line)
            if "code" in entry and entry["code"] != code:
                raise SystemExit(f"{file} holds results of another code; name another file.")
            notes._take(entry)
        if not notes.writes:
            notes._keep({"code": code})
        return notes

    def counted(self, name: str, writes: list[str], seconds: float) -> None:
        """Note the writes of a command, and how long it takes."""
        self.add({"command": name, "writes": writes, "seconds": round(seconds, 2)})

    def add(self, entry: dict[str, Any]) -> None:
        """Note a result, in the file as well."""
        self._take(entry)
        self._keep(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        if "writes" in entry:
            self.writes[entry["command"]], self.seconds[entry["command"]] = entry["writes"], entry["seconds"]
        elif "found" in entry:
            self.found[entry["command"], entry["write"]] = entry["found"]

    def _keep(self, entry: dict[str, Any]) -> None:
        if self.file is not None:
            with open(self.file, "a") as lines:
                lines.write(json.dumps(entry) + "\n")

    def faults(self) -> list[dict[str, Any]]:
        """What was wrong, and at which write."""
        return [
            {"command": name, "write": number, "of": None if number is None else self.writes[name][number], **found}
            for (name, number), found in self.found.items()
            if any(found.values())
        ]


def code_digest() -> str:
    """Of every module of llmesr."""
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "llmesr").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def rounds(writes: dict[str, list[str]]) -> list[dict[str, list[int]]]:
    """Which writes of each command differ from those of the commands before it; which differ within it; all."""
    tried: set[tuple[str, str]] = set()
    return [
        {name: telling([role(w) for w in written], tried) for name, written in writes.items()},
        {name: telling(written) for name, written in writes.items()},
        {name: [*range(len(written))] for name, written in writes.items()},
    ]


def count(notes: Notes, base: Path, folder: Path, commands: dict[str, Command]) -> None:
    """Note the writes of each command that is not noted yet; one that does not end well is a fault."""
    for name, command in commands.items():
        if name not in notes.writes:
            try:
                ended, writes, _ = whole(base, folder, command, kill=False)
            except SystemExit as error:
                ended, writes = None, []
                notes.add({"command": name, "write": None, "found": {"said": [str(error)]}})
            notes.counted(name, writes, 0.0 if ended is None else ended.seconds)
            print(f"{name}: {len(writes)} writes", file=sys.stderr, flush=True)


def planned(notes: Notes, commands: dict[str, Command], most: int, every: bool) -> Iterator[tuple[str, int]]:
    """What is to be tried: round by round, quick commands first."""
    quick_first = sorted(commands, key=lambda name: notes.seconds[name])
    first, second, third = rounds({name: notes.writes[name] for name in quick_first})
    for wanted in [second] if most else [first, second, *([third] if every else [])]:
        yield from ((name, number) for name in quick_first for number in spread(wanted[name], most))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--all", action="store_true", help="also those between the first and the last of the same")
    parser.add_argument("--most", type=int, default=0, help="writes of each command that are tried; 0: every one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no trial begins later")
    parser.add_argument("--noted", type=Path, help="lines of results, gone on with")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    under_the_library()
    import_all()
    until = time.monotonic() + arguments.minutes * 60
    commands = chosen(arguments.only) if arguments.only else {**COMMANDS, **READERS}
    notes = Notes.of(arguments.noted and arguments.noted.absolute())
    known: dict[str, set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory(prefix="llmesr-full-disk-") as folder, prepared(Path(folder) / "base") as base:
        count(notes, base, Path(folder), commands)
        for name, number in planned(notes, commands, arguments.most, arguments.all):
            if (name, number) in notes.found:
                continue
            if time.monotonic() > until:
                break
            found = trial(base, Path(folder) / f"trial-{number}", commands[name], number, known[name])
            notes.add({"command": name, "write": number, "found": found})
            if any(found.values()):
                print(notes.faults()[-1], file=sys.stderr, flush=True)
    faults = [fault for fault in notes.faults() if fault["command"] in commands]
    tell(summary(notes, commands, faults), arguments.json)
    sys.exit(bool(faults))


def summary(notes: Notes, commands: dict[str, Command], faults: list[dict[str, Any]]) -> dict[str, object]:
    """How many writes there are, how many differ, how many were tried, of all and of each command; what was wrong."""
    writes = {name: notes.writes[name] for name in commands}
    differing = rounds(writes)[1]
    tried = {name: {number for of, number in notes.found if of == name and number is not None} for name in commands}
    return {
        "commands": len(commands),
        "tried": sum(map(len, tried.values())),
        "writes": sum(map(len, writes.values())),
        "differing": sum(map(len, differing.values())),
        "differing tried": sum(len(tried[name] & {*differing[name]}) for name in commands),
        **{kind: sum(bool(fault.get(kind)) for fault in faults) for kind in KINDS},
        "by command": {name: f"{len(tried[name])} of {len(writes[name])}" for name in commands},
        "faults": faults,
    }


if __name__ == "__main__":
    main()
