"""Every command that writes, small enough to be repeated hundreds of times: for kills, full disks and wrong clocks.

Not run by itself. A command runs in a forked child, so that the libraries are imported once and not at every trial.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

from llmesr.data.synthetic import frames
from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.jobs.sweep import sweep
from llmesr.store import Store, examine, import_archive

SMALL = ["--set", "embedding_size=8", "--set", "max_length=8", "--set", "layers=1", "--set", "batch_size=64"]
TRAIN = [*SMALL, "--set", "epochs=3", "--device", "cpu"]
TUNING = ["--set", "steps=4", "--set", "batch_size=8", "--set", "max_tokens=16", "--set", "evaluate_every=2"]
IMPORTED = ("duckdb", "faiss", "pandas", "sklearn.neighbors", "torch", "transformers", "umap", "llmesr.api")
LIBRARY = Path(__file__).with_name("faults.c")
PRELOADED = "LD_PRELOAD"
LATER = 2 * 86_400.0
"""Seconds after which nothing that was left over is kept."""


@dataclass(frozen=True)
class Command:
    """``words`` after ``llmesr``; where ``makes`` is there already, ``again`` goes on with it. ``output``: a file that
    is written outside the store."""

    words: list[str]
    makes: tuple[str, str] | None = None
    again: list[str] = field(default_factory=list)
    output: str | None = None


COMMANDS: dict[str, Command] = {
    "ingest": Command(["ingest", "interactions.csv", "items.csv", "--name", "new"]),
    "split": Command(["split", "shop", "--set", "kind=temporal", "--set", "test_from=2021-06-01", "--name", "dated"]),
    "embed": Command(["embed", "shop", "--set", "max_chars=24", "--set", "max_tokens=16"]),
    "embed --export": Command(["embed", "shop", "--export", "vectors.npy"], output="vectors.npy"),
    "neighbours": Command(["neighbours", "shop", "--set", "neighbours=5"]),
    "finetune": Command(
        ["finetune", "shop", "--run-id", "tuned", *TUNING], ("adapters", "tuned"), ["finetune", "--resume", "tuned"]
    ),
    "train": Command(["train", "shop", "--method", "id", "--run-id", "a", *TRAIN], ("runs", "a"), ["resume", "a"]),
    "train with text": Command(
        ["train", "shop", "--method", "llm-esr", "--run-id", "b", *TRAIN], ("runs", "b"), ["resume", "b"]
    ),
    "train ease": Command(["train", "shop", "--method", "ease", "--run-id", "c"], ("runs", "c"), ["resume", "c"]),
    "resume": Command(["resume", "stopped"], ("runs", "stopped"), ["resume", "stopped"]),
    "search": Command(
        ["search", "shop", "--method", "id", "--trials", "2", "--run-id", "s", *SMALL, "--set", "epochs=1"],
        ("searches", "s"),
        ["search", "--resume", "s"],
    ),
    "blend": Command(["blend", "one", "two"]),
    "tune": Command(["tune", "two"]),
    "evaluate": Command(["evaluate", "one"]),
    "defend": Command(["defend", "two", "--baseline", "one", "--out", "claim.html"], output="claim.html"),
    "map": Command(["map", "shop"]),
    "recommend": Command(["recommend", "two", "--user", "u01"]),
    "delete": Command(["delete", "runs", "spare", "--yes"]),
    "export": Command(["export", "runs", "two", "two.tar.gz"], output="two.tar.gz"),
    "import": Command(["import", "elsewhere.tar.gz"]),
    "push": Command(["push", "runs/two", "--to", "remote"]),
    "pull": Command(["pull", "runs/far", "--from", "far"]),
    "convert": Command(["convert", "authors.pkl", "authors.npy", "--trust"], output="authors.npy"),
    "doctor": Command(["doctor", "--repair"]),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, -9 when it was killed; what it said; how many seconds it took."""

    code: int
    said: str
    seconds: float


def run(
    words: list[str], place: Path, *, kill_after: float | None = None, first: Callable[[], None] | None = None
) -> Ended:
    """A command in a child whose folder is ``place`` and whose artifacts are in ``place/artifacts``.

    It is killed after so many seconds. ``first`` is called in the child before the command.
    """
    started = time.monotonic()
    log = place.with_suffix(".log")
    log.write_text("")
    child = os.fork()
    if child == 0:
        _become(words, place, log, first)
    due = started + (kill_after if kill_after is not None else 600)
    pid = status = 0
    while not pid and time.monotonic() < due:
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
    if not pid:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, log.read_text(errors="replace"), time.monotonic() - started)


def _become(words: list[str], place: Path, log: Path, first: Callable[[], None] | None) -> None:
    """Turn this child into the command; never returns."""
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(place)
        os.environ.update(LLMESR_ARTIFACTS=str(place / "artifacts"), COLUMNS="2000", LLMESR_SLOTS="cpu")
        sys.argv = ["llmesr", *words]
        from llmesr.cli.main import main

        if first is not None:
            first()
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


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


def prepare(place: Path) -> None:
    """A folder in which every command can run."""
    place.mkdir(parents=True)
    interactions, items = frames(80, 40, seed=3)
    interactions.to_csv(place / "interactions.csv", index=False)
    items.to_csv(place / "items.csv", index=False)
    (place / "authors.pkl").write_bytes(pickle.dumps(np.ones((4, 3), np.float32)))
    made: list[list[str]] = [
        ["ingest", "interactions.csv", "items.csv", "--name", "shop"],
        ["embed", "shop", "--set", "max_tokens=16"],
        ["train", "shop", "--method", "popularity", "--run-id", "spare"],
        ["train", "shop", "--method", "id", "--run-id", "one", *TRAIN],
        ["train", "shop", "--method", "llm-esr", "--run-id", "two", *TRAIN],
        ["train", "shop", "--method", "markov", "--run-id", "far"],
        ["export", "runs", "far", "elsewhere.tar.gz"],
        ["push", "runs/far", "--to", "far"],
        ["delete", "runs", "far", "--yes"],
    ]
    for words in made:
        ended = run(words, place)
        if ended.code:
            raise SystemExit(f"llmesr {' '.join(words)} ended with {ended.code}:\n{ended.said}")
    _stop_one(place)


def _stop_one(place: Path) -> None:
    """A run that was killed after its first epoch."""
    words = ["train", "shop", "--method", "id", "--run-id", "stopped", *TRAIN, "--set", "epochs=400"]
    checkpoint = place / "artifacts" / "runs" / "stopped" / "checkpoints"
    child = os.fork()
    if child == 0:
        _become(words, place, place.with_suffix(".log"), None)
    until = time.monotonic() + 120
    while time.monotonic() < until and not (checkpoint.is_dir() and any(checkpoint.iterdir())):
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@contextmanager
def copy(base: Path, place: Path) -> Iterator[Path]:
    """A copy of the prepared folder for one trial."""
    shutil.copytree(base, place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        place.with_suffix(".log").unlink(missing_ok=True)


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


def redone(place: Path, command: Command) -> Ended:
    """The command again, or what goes on with what it has begun; well when there is nothing left to do."""
    store = Store(place / "artifacts")
    begun = command.makes is not None and store.exists(*command.makes)
    if begun and command.makes is not None and store.finished(*command.makes):
        return Ended(0, "", 0.0)
    if command.words[0] == "delete" and command.words[2] not in store.ids("runs"):
        return Ended(0, "", 0.0)
    if command.words[0] == "import" and store.exists("runs", "far"):
        return Ended(0, "", 0.0)
    return run(command.again if begun else command.words, place)


def chosen(names: str) -> dict[str, Command]:
    """The commands named, with commas between; all when empty."""
    if not names:
        return COMMANDS
    return {name: COMMANDS[name.strip()] for name in names.split(",")}


def tell(document: dict[str, object], file: Path | None) -> None:
    """Print the figures, and write them as JSON where a file is named."""
    print(json.dumps(document, indent=2, default=str))
    if file is not None:
        file.write_text(json.dumps(document, default=str))
