"""Commands killed at random moments and before single writes: is anything stuck, torn, left over or another result?

    python benchmarks/kills.py [--kills 500] [--only ingest,resume] [--seed 0] [--json FILE]

Each trial copies a small prepared store, starts a command in a forked child (see trials.py) and kills it (SIGKILL).
Half of the kills come after a random share of the time that the command takes; the other half just before a random one
of its writes, syncs, renames and removals, which reaches states that moments miss (it needs a C compiler, for
faults.c). Every twentieth trial, and every one of ``app``, is a whole process of its own instead. Then it looks: *torn*
is an artifact, job or output that can be found and is not whole; *stuck* is a command that does not succeed when it is
given again (or gone on with); *remains* is what the sweep of a start two days later leaves behind; *other* is a file
that differs from what the command makes undisturbed (files that differ between two undisturbed runs, because they hold
times, are not compared). Commands that only read are run once, and what they write is counted. At last every command
is killed before one of its writes in one store, one after the other, and ``doctor`` says what it finds after a start
two days later.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from children import import_all, run
from commands import READERS, Command, chosen, tell
from faults import PRELOADED, allow, under_the_library
from trials import copy, looked_at, prepared, remains, steady, torn, whole

ALONE = 20
"""Every so manieth trial is a whole process."""
AMONG = 40
"""Of its first so many writes, syncs, renames and removals, a command of the last part is killed before one."""


@dataclass(frozen=True)
class Undisturbed:
    """A command that nobody kills: seconds it takes, its steps, what it leaves."""

    seconds: float
    steps: int
    left: set[tuple[str, ...]]


def undisturbed(base: Path, folder: Path, command: Command) -> Undisturbed:
    """Two runs of it, so that what is never the same is known."""
    ended, steps, left = whole(base, folder, command, kill=True)
    same = steady(left, whole(base, folder, command, kill=True)[2])
    return Undisturbed(ended.seconds, len(steps), {entry for entry in same if entry[1] not in command.varies})


def start_up(base: Path, folder: Path) -> float:
    """Seconds until a process of its own has done next to nothing."""
    with copy(base, folder / "alone", READERS["list"]) as place:
        return float(run(READERS["list"], place, fork=False).seconds)


def trial(
    base: Path, place: Path, command: Command, usual: Undisturbed, rng: random.Random, starting: float
) -> tuple[str, dict[str, list[str]]]:
    """How it was killed (``""`` when it ended before), and what was found.

    ``starting``: seconds that a whole process needs before the command; 0 for a fork.
    """
    alone = bool(starting) or not command.forks
    how = "alone" if alone else "at a step" if usual.steps and rng.random() < 0.5 else "at a moment"
    with copy(base, place, command) as here:
        before = torn(here, command)
        if how == "at a step":
            first = partial(allow, here, rng.randrange(usual.steps), kill=True)
            ended = run(command, here, first=first)
        else:
            after = rng.uniform(0, starting + usual.seconds)
            ended = run(command, here, kill_after=after, fork=not alone)
        found = looked_at(here, command, before, usual.left)
    return how if ended.code == -9 else "", found


def read_only(base: Path, folder: Path) -> dict[str, int]:
    """How many steps the commands take that only read; locks are no more than one."""
    return {name: len(whole(base, folder, command, kill=True)[1]) for name, command in READERS.items()}


def doctored(base: Path, folder: Path, commands: dict[str, Command], rng: random.Random) -> dict[str, object]:
    """How many ``commands`` were killed in one store, and what ``llmesr doctor`` finds there afterwards."""
    killed = 0
    with copy(base, folder / "one store", READERS["list"]) as place:
        for command in commands.values():
            if command.forks and command.ready is None and command.words[0] != "doctor":  # it harms the store first
                if command.before is not None:
                    command.before(place)
                step = rng.randrange(AMONG)
                killed += run(command, place, first=partial(allow, place, step, kill=True)).code == -9
        # Beside an output of yours a hidden part stays until the command is given again: no sweep looks there.
        left = [path for path in remains(place) if path.startswith("artifacts/")]
        ended = run(Command(["doctor"]), place)
        return {"killed": killed, "remains": left, "code": ended.code, "said": ended.said.strip().splitlines()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if shutil.which("cc"):
        under_the_library()
    import_all()
    rng, commands = random.Random(arguments.seed), chosen(arguments.only)
    killed: Counter[tuple[str, str]] = Counter()
    faults: list[dict[str, object]] = []
    usual: dict[str, Undisturbed] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmesr-kills-") as folder, prepared(Path(folder) / "base") as base:
        starting = start_up(base, Path(folder))
        reads = read_only(base, Path(folder)) if not arguments.only and PRELOADED in os.environ else {}
        for number in range(arguments.kills * 2):
            if killed.total() >= arguments.kills:
                break
            name = [*commands][number % len(commands)]
            if name not in usual:
                usual[name] = undisturbed(base, Path(folder), commands[name])
            late = starting if number % ALONE == ALONE - 1 else 0.0
            how, found = trial(base, Path(folder) / f"trial-{number}", commands[name], usual[name], rng, late)
            if how:
                killed[name, how] += 1
            if any(found.values()):
                faults.append({"command": name, "trial": number, "killed": how or "no", **found})
                print(faults[-1], file=sys.stderr, flush=True)
            if number % len(commands) == 0:
                print(f"{killed.total()} kills, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        after = doctored(base, Path(folder), commands, rng) if PRELOADED in os.environ else {}
    by_command, by_kind = Counter[str](), Counter[str]()
    for (name, how), count in killed.items():
        by_command[name] += count
        by_kind[how] += count
    tell(
        {
            "kills": killed.total(),
            "how": dict(by_kind),
            **{kind: sum(bool(fault[kind]) for fault in faults) for kind in ("torn", "stuck", "remains", "other")},
            "by_command": dict(by_command),
            "compared": {name: len(u.left) for name, u in usual.items()},
            "steps": {name: u.steps for name, u in usual.items()},
            "steps of commands that only read": reads,
            "faults": faults,
            "doctor after a kill of each in one store": after,
            "minutes": round((time.monotonic() - started) / 60, 1),
        },
        arguments.json,
    )
    sys.exit(bool(faults or after.get("code") or after.get("remains")))


if __name__ == "__main__":
    main()
