"""Commands small enough to test the queue with, and the worker that runs them instead of ``llmesr``.

``python small_commands.py FOLDER`` is a worker; ``python small_commands.py -- echo hi`` is a command.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmesr.jobs.engine import LocalEngine

SELF = (sys.executable, __file__)


def engine() -> LocalEngine:
    """Starts workers that run the commands below."""
    from llmesr.jobs.engine import LocalEngine

    return LocalEngine(worker=SELF)


def echo(*words: str) -> None:
    print(*words, flush=True)


def fail(reason: str) -> None:
    print(f"Error: {reason}", file=sys.stderr)
    sys.exit(2)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def make(id: str) -> None:
    print("about to make", file=sys.stderr)
    print(json.dumps({"id": id}))


def until(file: str) -> None:
    """Say progress, then wait until the file is there; SIGTERM ends it with code 3."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    said = {"stage": "waiting", "done": 1, "total": 4, "share": 0.25}
    (Path(os.environ["LLMESR_JOB"]) / "progress.json").write_text(json.dumps(said))
    while not Path(file).exists():
        time.sleep(0.02)


def stubborn() -> None:
    """Ignores the request to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (Path(os.environ["LLMESR_JOB"]) / "ready").touch()
    time.sleep(60)


def flaky(file: str) -> None:
    """Fails the first time, succeeds the second."""
    path = Path(file)
    if not path.exists():
        path.touch()
        fail("not yet")


if __name__ == "__main__":
    if sys.argv[1] == "--":
        globals()[sys.argv[2]](*sys.argv[3:])
    else:
        from llmesr.jobs.worker import Worker

        Worker(Path(sys.argv[1]), program=(*SELF, "--"), engine=engine()).run()
