"""The worker of a job, its command, or both killed at a random moment: does the job end, and go on to the same result?

    python benchmarks/job_kills.py [--kills 20] [--seed 0] [--json FILE]

The worker and its command are processes of their own here, as the app and ``llmesr jobs`` start them. Each trial
submits a training, kills after a random share of the time that it takes, asks for the list of jobs, which settles them
as the start of the app does, and resumes the job where it has failed. *Stuck* is a job that does not succeed then;
*torn*, *remains* and *other* are those of kills.py.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from children import child_of, end_family, import_all
from commands import TRAIN, Command, tell
from trials import copy, outcome, prepared, remains, steady, torn

from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store

SUBMIT = Command(["jobs", "submit", "--", "train", "shop", "--method", "id", "--run-id", "new", *TRAIN])
PATIENCE = 180.0


def ask(place: Path, words: list[str]) -> None:
    """A command of the queue, in a fork; what it starts lives on."""
    os.waitpid(child_of(words, place, place.with_suffix(".log")), 0)


def the_job(place: Path) -> Job:
    (job,) = Jobs(Store(place / "artifacts")).list()
    return job


def settled(place: Path) -> Job:
    """The job once it has ended, or after :data:`PATIENCE`."""
    until = time.monotonic() + PATIENCE
    while (job := the_job(place)).active and time.monotonic() < until:
        time.sleep(0.1)
    return job


def kill(place: Path, whom: str) -> bool:
    """Whether there was somebody to kill."""
    status = the_job(place).status
    wanted = {"worker": (status.worker,), "command": (status.child,), "both": (status.worker, status.child)}
    pids = [pid for pid in wanted[whom] if isinstance(pid, int)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids) and status.state == "RUNNING"


def trial(base: Path, place: Path, whom: str, after: float, expected: set[tuple[str, ...]]) -> tuple[bool, list[str]]:
    """Whether something was killed, and what was wrong."""
    with copy(base, place, SUBMIT):
        try:
            ask(place, SUBMIT.words)
            time.sleep(after)
            killed = kill(place, whom)
            time.sleep(0.5)
            ask(place, ["jobs", "list"])  # settles what has no worker any more
            job = settled(place)
            if job.state in ("FAILED", "STOPPED"):
                ask(place, ["jobs", "resume", job.id])
                job = settled(place)
            wrong = [] if job.state == "SUCCEEDED" else [f"stuck: {job.state}: {job.status.message}"]
            wrong += [f"torn: {fault}" for fault in torn(place, SUBMIT)]
            names = {entry[:2] for entry in expected}
            there = {entry for entry in outcome(place) if entry[:2] in names}
            wrong += sorted({f"other: {' '.join(entry[:2])}" for entry in expected ^ there})
        finally:
            end_family(place)
        wrong += [f"remains: {path}" for path in remains(place)]
    return killed, wrong


def undisturbed(base: Path, place: Path) -> tuple[float, set[tuple[str, ...]]]:
    """Seconds the job takes, and what it leaves."""
    with copy(base, place, SUBMIT):
        started = time.monotonic()
        ask(place, SUBMIT.words)
        job = settled(place)
        if job.state != "SUCCEEDED":
            raise SystemExit(f"the job is {job.state}: {job.status.message}")
        return time.monotonic() - started, outcome(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import_all()
    rng, killed = random.Random(arguments.seed), Counter[str]()
    faults: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="llmesr-job-kills-") as folder, prepared(Path(folder) / "base") as base:
        seconds, left = undisturbed(base, Path(folder) / "whole")
        expected = steady(left, undisturbed(base, Path(folder) / "whole")[1])
        for number in range(2 * arguments.kills):
            if killed.total() >= arguments.kills:
                break
            whom = ("worker", "command", "both")[number % 3]
            was, wrong = trial(base, Path(folder) / f"trial-{number}", whom, rng.uniform(0, seconds), expected)
            killed[whom] += was
            if wrong:
                faults.append({"killed": whom, "trial": number, "wrong": wrong})
                print(faults[-1], file=sys.stderr, flush=True)
    document = {"kills": killed.total(), "of": dict(killed), "seconds of the job": round(seconds, 1), "faults": faults}
    tell(document, arguments.json)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
