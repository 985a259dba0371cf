"""A command in a forked child of this process, or in a process of its own, and how it ended.

The libraries and all of llmesr but its pages are imported once, by :func:`import_all`; each command is then a fork of
that process which calls the real command line in a session of its own. What that leaves out is the start of Python
itself, so kills.py runs some commands as processes of their own.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from commands import ELSEWHERE, PORT, PYTHON, Command
from faults import PRELOADED

import llmesr
from llmesr.errors import machine_failure

IMPORTED = ("duckdb", "faiss", "pandas.core.arrays.arrow.extension_types", "pyarrow.dataset", "sklearn.neighbors",
            "torch", "transformers", "umap", "optuna", "uvicorn", "safetensors.torch", "peft")  # fmt: skip
OTHERWISE = ("llmesr.views", "llmesr.__main__")
"""Not imported: no command needs it, or it is one."""
ADDRESS = "elsewhere.txt"
"""In the folder of a trial: where the loopback server answers."""
PATIENCE = 600.0
"""Seconds after which a command is stuck."""


def import_all() -> None:
    """Import the large libraries and llmesr, before any child is forked; no child collects what is there then."""
    ours = [module.name for module in pkgutil.walk_packages(llmesr.__path__, "llmesr.", onerror=lambda name: None)]
    for name in (*IMPORTED, *(name for name in ours if not name.startswith(OTHERWISE))):
        try:
            __import__(name)
        except ImportError as error:
            if name in IMPORTED or (error.name or "").startswith("llmesr"):
                raise  # only what an extra brings may be missing
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, -9 when it was killed; what it said; how many seconds it took."""

    code: int
    said: str
    seconds: float

    @property
    def last(self) -> str:
        """The last line it said."""
        lines = self.said.strip().splitlines()
        return lines[-1] if lines else "silence"


def run(
    command: Command,
    place: Path,
    words: list[str] | None = None,
    *,
    kill_after: float | None = None,
    first: Callable[[], None] | None = None,
    fork: bool = True,
) -> Ended:
    """A command (or other ``words`` in its place) whose folder is ``place`` and whose artifacts are in
    ``place/artifacts``; with ``fork``, in a child of this process where that is possible.

    It and all that it has started are killed after so many seconds. ``first`` is called in the child before the
    command.
    """
    started, since = time.monotonic(), time.time()
    log = place.with_suffix(".log")
    log.write_text("")
    given = [word.replace(PORT, str(_free_port())) for word in words or command.words]
    given = [word.replace(ELSEWHERE, (place / ADDRESS).read_text()) for word in given]
    child = child_of(given, place, log, first) if fork and command.forks else _started(given, place, log)
    due = started + (PATIENCE if kill_after is None else kill_after)
    asked = pid = status = 0
    while not pid and time.monotonic() < due:
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
        if command.ready and not pid and not asked and command.ready in log.read_text(errors="replace"):
            os.kill(child, signal.SIGTERM)
            asked = 1
    if not pid:
        os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    end_family(place, since)
    code = os.waitstatus_to_exitcode(status)
    code = 0 if asked and code in (0, -signal.SIGTERM) else code
    return Ended(code, log.read_text(errors="replace"), time.monotonic() - started)


def _environment(place: Path) -> dict[str, str]:
    return {"LLMESR_ARTIFACTS": str(place / "artifacts"), "COLUMNS": "2000", "LLMESR_SLOTS": "cpu"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(words: list[str], place: Path, log: Path) -> int:
    program = [sys.executable, "-c", words[1]] if words[0] == PYTHON else [sys.executable, "-m", "llmesr", *words]
    with open(log, "wb") as output:
        environment = {**os.environ, **_environment(place)}
        environment.pop(PRELOADED, None)
        return subprocess.Popen(
            program, cwd=place, env=environment, stdout=output, stderr=output, start_new_session=True
        ).pid


def child_of(words: list[str], place: Path, log: Path, first: Callable[[], None] | None = None) -> int:
    """Start a command in a fork of this process; its process id, which is that of its session too."""
    child = os.fork()
    if child:
        with suppress(OSError):
            os.setpgid(child, child)  # here too, so that a kill finds the group however early it comes
        return child
    code = 1
    try:
        with suppress(OSError):
            os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(place)
        os.environ.update(_environment(place))
        sys.argv = ["llmesr", *words]
        if first is not None:
            first()
        if words[0] == PYTHON:
            _do(words[1])
        else:
            from llmesr.cli.main import main

            main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise AssertionError("a child does not come back")


def _do(code: str) -> None:
    """Carry out what the app alone writes; an error of the machine is a sentence, as there. SystemExit with 2 then."""
    try:
        exec(code, {})
    except Exception as error:
        if (sentence := machine_failure(error)) is None:
            raise
        print(sentence)
        raise SystemExit(2) from error


def end_family(place: Path, since: float = 0.0) -> None:
    """Kill every process that still works on the artifacts of ``place``, such as the worker of a job; only those are
    asked that were started after ``since``."""
    mine = str(place / "artifacts")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.create_time() < since - 1 or process.pid == os.getpid():
                continue
            if process.environ().get("LLMESR_ARTIFACTS") == mine:
                process.kill()
                with suppress(psutil.TimeoutExpired):
                    process.wait(10)
