"""Commands killed at random moments: is anything stuck, torn or left over?

    python benchmarks/kills.py [--kills 500] [--only train,ingest] [--seed 0] [--json FILE]

Each trial copies a small prepared store, starts a command, kills it (SIGKILL) after a random share of the time that it
takes, and then looks: *torn* is an artifact, job or output that can be found and is not whole; *stuck* is a command
that does not succeed when it is given again (or gone on with); *remains* is what the sweep of a start two days later
leaves behind.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from commands import Command, chosen, copy, import_all, prepare, redone, remains, run, tell, torn


def trial(base: Path, place: Path, command: Command, after: float) -> tuple[bool, dict[str, list[str]]]:
    """Whether the command was killed before it ended, and what was found: ``torn``, ``stuck``, ``remains``."""
    with copy(base, place):
        ended = run(command.words, place, kill_after=after)
        found = {"torn": torn(place, command)}
        again = redone(place, command)
        found["stuck"] = [] if again.code == 0 else [again.said.strip().splitlines()[-1] if again.said else "silence"]
        found["torn"] += torn(place, command)
        found["remains"] = remains(place)
    return ended.code == -9, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import_all()
    rng, commands = random.Random(arguments.seed), chosen(arguments.only)
    killed: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmesr-kills-") as folder:
        base = Path(folder) / "base"
        prepare(base)
        takes: dict[str, float] = {}
        for number in range(arguments.kills * 2):
            if killed.total() >= arguments.kills:
                break
            name = [*commands][number % len(commands)]
            if name not in takes:
                with copy(base, Path(folder) / "whole") as place:
                    ended = run(commands[name].words, place)
                    if ended.code:
                        raise SystemExit(f"llmesr {' '.join(commands[name].words)}: {ended.code}\n{ended.said}")
                takes[name] = ended.seconds
            after = rng.uniform(0, takes[name])
            was_killed, found = trial(base, Path(folder) / f"trial-{number}", commands[name], after)
            killed[name] += was_killed
            if any(found.values()):
                faults.append({"command": name, "after": round(after, 3), "of": round(takes[name], 3), **found})
                print(faults[-1], file=sys.stderr, flush=True)
    counts = {kind: sum(bool(fault[kind]) for fault in faults) for kind in ("torn", "stuck", "remains")}
    tell(
        {
            "kills": killed.total(),
            **counts,
            "by_command": dict(killed),
            "faults": faults,
            "minutes": round((time.monotonic() - started) / 60, 1),
        },
        arguments.json,
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
