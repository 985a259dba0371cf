"""The folder in which commands are tried, and what is looked at after each: is anything torn, stuck or left over?

torn      an artifact, job or output that can be found and is not whole
stuck     a command that does not succeed when it is given again, or gone on with
remains   what a start two days later leaves behind: it settles jobs and sweeps
other     a file that differs from what the command makes undisturbed
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from children import ADDRESS, Ended, child_of, run
from commands import PREPARED, STOPPED, Command, write_inputs
from elsewhere import elsewhere
from faults import PRELOADED, anonymous, note_steps, steps

from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.jobs.sweep import sweep
from llmesr.store import KINDS, Store, examine, file_digest, import_archive

_PASSING = re.compile(
    rb'\d{4}-\d\d-\d\dT[\d:.]+|"\w*(?:seconds|started|worker|child)\w*": ?[\d.e+-]+|"timings": ?\{[^}]*\}'
)
LATER = 2 * 86_400.0
"""Seconds after which nothing that was left over is kept."""


@contextmanager
def prepared(place: Path) -> Iterator[Path]:
    """A folder in which every command can run, and what commands reach over the network, while the block runs."""
    place.mkdir(parents=True)
    write_inputs(place)
    with elsewhere(place) as address:
        (place / ADDRESS).write_text(address)
        _prepare(place)
        yield place


def _prepare(place: Path) -> None:
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


def whole(base: Path, folder: Path, command: Command, *, kill: bool) -> tuple[Ended, list[str], set[tuple[str, ...]]]:
    """The command undisturbed: how it ended, the steps it takes (none where they cannot be counted), and what is there
    afterwards. SystemExit when it does not end well."""
    noted = folder / "noted"
    noted.unlink(missing_ok=True)
    with copy(base, folder / "whole", command) as place:
        preloaded = PRELOADED in os.environ
        ended = run(command, place, first=partial(note_steps, place, noted, kill) if preloaded else None)
        if ended.code:
            raise SystemExit(f"llmesr {' '.join(command.words)}: {ended.code}\n{ended.said}")
        return ended, steps(noted, place), outcome(place)


def outcome(place: Path) -> set[tuple[str, ...]]:
    """What is in the store: kind, file name and digest of every file. Ids may hold the time."""
    store = Store(place / "artifacts")
    files = [(kind, path) for kind in KINDS for id in store.ids(kind) for path in store.files(kind, id)]
    return {(kind, path.name, _digest(path)) for kind, path in files}


def _digest(path: Path) -> str:
    """Of a file; of a manifest without the seconds that it tells of, which may be the same twice and then are not."""
    if path.name != "manifest.json":
        return file_digest(path)
    document = {k: v for k, v in json.loads(path.read_text()).items() if k != "timings"}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


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
        found += _unreadable(place / command.output, place / Path(command.output).name, place / "imported")
    return found


def _unreadable(path: Path, published: Path, scratch: Path) -> list[str]:
    """What is wrong with a file that a command writes; ``published`` is what a fetched one was at its publisher's."""
    try:
        if path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            return [f"{path.name} ends early"]
        elif path.suffix == ".gz":
            import_archive(Store(scratch), path)
        elif path.suffix == ".pptx" and zipfile.ZipFile(path).testzip() is not None:
            return [f"{path.name}: a part of it is damaged"]
        elif path.suffix == ".csv" and path.read_bytes() != published.read_bytes():
            return [f"{path.name} is not what was published"]
    except (UserError, ValueError, EOFError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        return [f"{path.name}: {error}"]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return []


def remains(place: Path) -> list[str]:
    """What is still left over after the next start, two days later: it settles jobs whose worker is gone, then sweeps.
    Waiting jobs are left waiting."""
    store, now = Store(place / "artifacts"), time.time
    with mock.patch("time.time", side_effect=lambda: now() + LATER), mock.patch.object(Jobs, "_start"):
        Jobs(store).reconcile()
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


def state(place: Path) -> str:
    """One digest of every file below ``place``, hidden ones too: names without what is random in them, contents without
    moments, durations and numbers of processes."""
    digest = hashlib.sha256()
    for name, path in sorted((anonymous(str(p.relative_to(place))), p) for p in place.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.name != ".lock" else b""  # it holds its last owner
        digest.update(f"{name} {hashlib.sha256(_PASSING.sub(b'', content)).hexdigest()}\n".encode())
    return digest.hexdigest()


def looked_at(
    place: Path,
    command: Command,
    before: list[str],
    expected: set[tuple[str, ...]] | None = None,
    known: set[str] | None = None,
) -> dict[str, list[str]]:
    """What is wrong after a trial: ``torn`` (but for what was before it), ``stuck``, ``remains``; ``other``: files that
    were ``expected`` and are not there, or are there and were not.

    The command is not given again in a :func:`state` that is ``known``, to which others are added."""
    found = {"torn": [fault for fault in torn(place, command) if fault not in before]}
    if known is not None:
        now = state(place)
        if now in known:
            return {**found, "stuck": [], "remains": remains(place)}
        known.add(now)
    again = redone(place, command)
    found["stuck"] = [] if again.code == 0 else [again.last]
    found["torn"] += torn(place, command)
    found["remains"] = remains(place)
    if expected is not None:
        names = {entry[:2] for entry in expected}
        there = {entry for entry in outcome(place) if entry[:2] in names}
        found["other"] = sorted({" ".join(entry[:2]) for entry in expected ^ there})
    return found
