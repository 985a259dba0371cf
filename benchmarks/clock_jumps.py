"""A clock that jumps while a command works: by a second, an hour and a year, forwards and backwards.

    python benchmarks/clock_jumps.py [--only train,ingest] [--json FILE]

A small library (faults.c, built with the C compiler of the machine) makes the clock of the day jump after a random
number of looks at it; files keep the times of the real one. Each command must end well, nothing may be torn, and
nothing may be left over. At last a store is swept by a clock that is a year ahead while another process writes to it,
which must lose nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from unittest import mock

from children import import_all, run
from commands import COMMANDS, chosen, tell
from faults import under_the_library
from trials import copy, prepared, remains, torn

from llmesr.jobs.sweep import sweep
from llmesr.store import Store

YEAR = 365 * 86_400
JUMPS = (-YEAR, -3_600, -1, 1, 3_600, YEAR)
LOOKS = 400
"""The jump comes before this many looks at the clock."""


def jump(after: int, seconds: int) -> None:
    """Called in the child."""
    ctypes.CDLL(None).clock_jump(ctypes.c_long(after), ctypes.c_long(seconds))


def swept_while_written(base: Path, folder: Path) -> list[str]:
    """What is wrong after a training in whose midst the store was swept by a clock a year ahead."""
    command = COMMANDS["train llm-esr"]
    with copy(base, folder / "swept", command) as place:
        store, done, sweeps = Store(place / "artifacts"), threading.Event(), 0
        ended: list[int] = []

        def work() -> None:
            ended.append(run(command, place).code)
            done.set()

        worker = threading.Thread(target=work)
        worker.start()
        import time

        now = time.time
        with mock.patch("time.time", side_effect=lambda: now() + YEAR):
            while not done.wait(0.05):
                sweep(store)
                sweeps += 1
        worker.join()
        wrong = [] if ended == [0] else [f"the training ended with {ended}"]
        return [*wrong, *torn(place, command), *([] if sweeps else ["nothing was swept"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="commands, with commas between; all when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    under_the_library()
    import_all()
    rng, tried = random.Random(arguments.seed), 0
    faults: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="llmesr-clock-") as folder, prepared(Path(folder) / "base") as base:
        for name, command in chosen(arguments.only).items():
            for seconds in JUMPS:
                tried += 1
                with copy(base, Path(folder) / f"trial-{tried}", command) as place:
                    ended = run(command, place, first=partial(jump, rng.randrange(LOOKS), seconds))
                    found = torn(place, command) + remains(place)
                if ended.code or found:
                    faults.append({"command": name, "jump": seconds, "found": found, "said": ended.said[-400:]})
                    print(faults[-1], file=sys.stderr, flush=True)
        lost = swept_while_written(base, Path(folder))
    tell({"jumps": tried, "faults": faults, "swept while written": lost}, arguments.json)
    sys.exit(bool(faults or lost))


if __name__ == "__main__":
    main()
