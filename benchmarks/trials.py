"""One trial of a command: run in a forked child, ended at a moment or a write, and looked at afterwards.

The libraries are imported once, by :func:`import_all`; each command is then a fork of that process which calls the real
command line in a session of its own. What that leaves out is the start of Python itself, so kills.py runs some commands
as processes of their own.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from commands import PORT, PREPARED, PYTHON, STOPPED, Command, write_inputs

from llmesr.errors import UserError, machine_failure
from llmesr.jobs.queue import Jobs
from llmesr.jobs.sweep import sweep
from llmesr.store import KINDS, Store, examine, file_digest, import_archive

IMPORTED = ("duckdb", "faiss", "pandas", "sklearn.neighbors", "torch", "transformers", "umap", "optuna", "uvicorn",
            "safetensors.torch", "peft", "llmesr.api", "llmesr.cli.main", "llmesr.serving.server")  # fmt: skip
LIBRARY = Path(__file__).with_name("faults.c")
PRELOADED = "LD_PRELOAD"
LATER = 2 * 86_400.0
"""Seconds after which nothing that was left over is kept."""
PATIENCE = 600.0
"""Seconds after which a command is stuck."""


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
    started = time.monotonic()
    log = place.with_suffix(".log")
    log.write_text("")
    given = [word.replace(PORT, str(_free_port())) for word in words or command.words]
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
    end_family(place)
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


def end_family(place: Path) -> None:
    """Kill every process that still works on the artifacts of ``place``, such as the worker of a job."""
    mine = str(place / "artifacts")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("LLMESR_ARTIFACTS") == mine:
                process.kill()
                with suppress(psutil.TimeoutExpired):
                    process.wait(10)


def import_all() -> None:
    """Import the large libraries, before any child is forked."""
    for name in IMPORTED:
        __import__(name)


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


def _count(place: Path, counted: Path, kill: bool) -> None:
    disk, exit_ = ctypes.CDLL(None), os._exit
    allow(place, -1, kill=kill)

    def counting(code: int) -> None:
        steps = disk.disk_writes()
        disk.disk_watch(b"", ctypes.c_long(-1), 0)
        counted.write_text(str(steps))
        exit_(code)

    os._exit = counting  # type: ignore[assignment]  # the child ends by it


def whole(base: Path, folder: Path, command: Command, *, kill: bool) -> tuple[Ended, int, set[tuple[str, ...]]]:
    """The command undisturbed: how it ended, how many steps it takes (0 where that cannot be counted), and what is
    there afterwards. SystemExit when it does not end well."""
    counted = folder / "counted"
    counted.write_text("0")
    with copy(base, folder / "whole", command) as place:
        preloaded = PRELOADED in os.environ
        ended = run(command, place, first=partial(_count, place, counted, kill) if preloaded else None)
        if ended.code:
            raise SystemExit(f"llmesr {' '.join(command.words)}: {ended.code}\n{ended.said}")
        return ended, int(counted.read_text()), outcome(place)


def prepare(place: Path) -> None:
    """A folder in which every command can run."""
    place.mkdir(parents=True)
    write_inputs(place)
    for words in PREPARED:
        ended = run(Command(words), place)
        if ended.code:
            raise SystemExit(f"llmesr {' '.join(words)} ended with {ended.code}:\n{ended.said}")
    child = child_of(STOPPED, place, place.with_suffix(".log"))
    checkpoint = place / "artifacts" / "runs" / "stopped" / "checkpoints"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (checkpoint.is_dir() and any(checkpoint.iterdir())):
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@contextmanager
def copy(base: Path, place: Path, command: Command) -> Iterator[Path]:
    """A copy of the prepared folder for one trial, harmed where the command is about that."""
    shutil.copytree(base, place)
    try:
        if command.before is not None:
            command.before(place)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        place.with_suffix(".log").unlink(missing_ok=True)


def outcome(place: Path) -> set[tuple[str, ...]]:
    """What is in the store: kind, file name and digest of every file. Ids may hold the time."""
    store = Store(place / "artifacts")
    files = [(kind, path) for kind in KINDS for id in store.ids(kind) for path in store.files(kind, id)]
    return {(kind, path.name, file_digest(path)) for kind, path in files}


def steady(one: set[tuple[str, ...]], two: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """What is the same after two undisturbed runs, file by file: not what holds times."""
    unsteady = {entry[:2] for entry in one ^ two}
    return {entry for entry in one if entry[:2] not in unsteady}


def torn(place: Path, command: Command) -> list[str]:
    """What is half there: damaged artifacts and jobs, and an output that cannot be read."""
    store = Store(place / "artifacts")
    found = [f"{f.kind}/{f.id}: {f.what}" for f in examine(store) if f.damaged]
    found += [f"jobs/{id}: {why}" for id, why in Jobs(store).broken().items()]
    if command.output and (place / command.output).exists():
        found += _unreadable(place / command.output, place / "elsewhere")
    return found


def _unreadable(path: Path, scratch: Path) -> list[str]:
    try:
        if path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            return [f"{path.name} ends early"]
        elif path.suffix == ".gz":
            import_archive(Store(scratch), path)
    except (UserError, ValueError, EOFError, OSError, tarfile.TarError) as error:
        return [f"{path.name}: {error}"]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return []


def remains(place: Path) -> list[str]:
    """What is still left over after the sweep of the next start, two days later."""
    store, now = Store(place / "artifacts"), time.time
    with mock.patch("time.time", side_effect=lambda: now() + LATER):
        sweep(store)
    hidden = [p for p in [*store.root.rglob(".*"), *place.glob(".*")] if p.name not in (".lock", ".swept")]
    return [str(p.relative_to(place)) for p in hidden]


def redone(place: Path, command: Command, *, fork: bool = True) -> Ended:
    """The command again, or what goes on with what it has begun; well when there is nothing left to do."""
    store = Store(place / "artifacts")
    begun = command.makes is not None and store.exists(*command.makes)
    finished = begun and command.makes is not None and store.finished(*command.makes)
    if finished or (command.done is not None and command.done(place)):
        return Ended(0, "", 0.0)
    return run(command, place, command.again if begun else None, fork=fork)


def looked_at(
    place: Path, command: Command, before: list[str], expected: set[tuple[str, ...]] | None = None
) -> dict[str, list[str]]:
    """What is wrong after a trial: ``torn`` (but for what was before it), ``stuck``, ``remains``; ``other``: files that
    were ``expected`` and are not there, or are there and were not."""
    found = {"torn": [fault for fault in torn(place, command) if fault not in before]}
    again = redone(place, command)
    found["stuck"] = [] if again.code == 0 else [again.last]
    found["torn"] += torn(place, command)
    found["remains"] = remains(place)
    if expected is not None:
        names = {entry[:2] for entry in expected}
        there = {entry for entry in outcome(place) if entry[:2] in names}
        found["other"] = sorted({" ".join(entry[:2]) for entry in expected ^ there})
    return found
