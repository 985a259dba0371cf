"""A disk that is full at every write of every command: what is said, and what is left?

    python benchmarks/full_disk.py [--only train,ingest] [--all] [--most 40] [--json FILE]

A small library (faults.c, built with the C compiler of the machine) stands between the process and the system and
writes down what is written below the trial's folder, by Python, DuckDB, SQLite, Arrow and safetensors alike. For the
first, second, third ... write of a command it lets those before succeed and answers ENOSPC from there on. Of writes
that come again (the same call on the same file after the same write before) the first and the last are tried, and of
commands of one verb, such as the trainings, each of them once; with
``--all`` each; with ``--most``, so many of each command, evenly spread. After each: the command has ended with exit
code 2 and a sentence that says that the disk is full, nothing is torn, and with room again the same command succeeds
and nothing is left over. Commands that only read take part, with the writes they have, if any. Of ``serve`` and ``app``
no write can be counted: the one ends by a signal, the process of the other is replaced by the server's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from children import import_all, run
from commands import COMMANDS, READERS, Command, chosen, tell
from faults import allow, telling, under_the_library
from trials import copy, looked_at, prepared, torn, whole

KINDS = ("said", "torn", "stuck", "remains")


def trial(base: Path, place: Path, command: Command, writes: int) -> dict[str, list[str]]:
    """What was wrong when only so many ``writes`` succeeded: ``said``, ``torn``, ``stuck``, ``remains``."""
    with copy(base, place, command):
        before = torn(place, command)
        ended = run(command, place, first=partial(allow, place, writes, kill=False))
        well = ended.code == 0 or (ended.code == 2 and ("is full" in ended.last or "cannot be written" in ended.last))
        said = [] if well and "Traceback" not in ended.said else [f"{ended.code}: {ended.last}"]
        return {"said": said, **looked_at(place, command, before)}


def spread(numbers: list[int], most: int) -> list[int]:
    """At most so many of the ``numbers``, evenly spread, the first and the last among them; all where 0."""
    most = min(most or len(numbers), len(numbers))
    return [numbers[round(step * (len(numbers) - 1) / max(most - 1, 1))] for step in range(most)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--all", action="store_true", help="also those between the first and the last of the same")
    parser.add_argument("--most", type=int, default=0, help="writes of each command that are tried; 0: every one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    under_the_library()
    import_all()
    commands = chosen(arguments.only) if arguments.only else {**COMMANDS, **READERS}
    alike: dict[str, set[tuple[str, str]]] = defaultdict(set)
    tried: dict[str, tuple[int, int]] = {}
    faults: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="llmesr-full-disk-") as folder, prepared(Path(folder) / "base") as base:
        for name, command in commands.items():
            try:
                writes = whole(base, Path(folder), command, kill=False)[1]
            except SystemExit as error:  # the others are tried all the same
                faults.append({"command": name, "write": None, **{kind: [] for kind in KINDS}, "said": [str(error)]})
                continue
            verb = alike[command.words[0]]
            numbers = spread([*range(len(writes))] if arguments.all else telling(writes, verb), arguments.most)
            for number in numbers:
                found = trial(base, Path(folder) / f"trial-{number}", command, number)
                if any(found.values()):
                    faults.append({"command": name, "write": number, "of": writes[number], **found})
                    print(faults[-1], file=sys.stderr, flush=True)
            tried[name] = len(numbers), len(writes)
            print(f"{name}: {len(numbers)} of {len(writes)}", file=sys.stderr, flush=True)
    ends = {kind: sum(bool(fault[kind]) for fault in faults) for kind in KINDS}
    some, every = (sum(counts[n] for counts in tried.values()) for n in (0, 1))
    shares = {name: f"{a} of {b}" for name, (a, b) in tried.items()}
    total = {"commands": len(tried), "tried": some, "writes": every, **ends}
    tell({**total, "by command": shares, "faults": faults}, arguments.json)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
