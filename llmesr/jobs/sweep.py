"""What nobody needs any more: remains of killed processes, uploads and fetches that have grown old. Nothing in use."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from llmesr.jobs.queue import Jobs
from llmesr.jobs.uploads import KEEP_DAYS, Uploads
from llmesr.store import KINDS, Store, is_locked

OLD = 86_400.0
"""Seconds after which a file that was being written is nobody's."""
EVERY = 3_600.0
STAMP = ".swept"
_BEING_WRITTEN = re.compile(r"\..+\.([0-9a-f]{8}|safetensors|parquet|part)|\.tmp[A-Za-z0-9]{6}")
"""Hidden names of files that were being written: ours (versions before had none but the name itself with a dot before
it), those of safetensors, and a file on its way out of a fetched archive. What is half fetched has no dot before it."""


def remains(store: Store, *, now: float | None = None) -> list[Path]:
    """Files that were being written when their writer was killed, uploads that no waiting or running job reads, and
    what was fetched from elsewhere and never imported."""
    moment = now if now is not None else time.time()
    uploads = Uploads(store).old(in_use=_read_by_jobs(store), now=moment)
    return [*_half_written(store, moment - OLD), *_fetched(store, moment - KEEP_DAYS * OLD), *uploads]


def sweep(store: Store) -> list[Path]:
    """Remove them; what was removed. Hidden folders are the store's to heal."""
    store.heal()
    found = remains(store)
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return found


def sweep_now_and_then(jobs: Jobs) -> None:
    """Sweep when that was not done for an hour, by whoever comes first and may write."""
    stamp = jobs.store.root / STAMP
    try:
        recently = abs(time.time() - stamp.stat().st_mtime) < EVERY  # a clock that was ahead keeps nothing for ever
    except FileNotFoundError:
        recently = False
    if not recently and jobs.writable and jobs.store.root.is_dir():
        stamp.touch()
        sweep(jobs.store)


def _half_written(store: Store, before: float) -> Iterator[Path]:
    """Where nobody works: by a clock that is wrong, what is being written now may look old. On a job that waits, nobody
    does while nobody holds the queue."""
    jobs = Jobs(store)
    held = is_locked(jobs.folder)
    active = {job.folder for job in jobs.list() if job.active and (held or job.state != "PENDING")}
    kinds = [folder for folder in (store.root / name for name in (*KINDS, "jobs", "downloads")) if folder.is_dir()]
    for folder in [entry for kind in kinds for entry in kind.iterdir() if entry.is_dir()]:
        if folder in active or is_locked(folder):
            continue
        for here, _, names in os.walk(folder):
            for name in names:
                path = Path(here) / name
                if _BEING_WRITTEN.fullmatch(name) and path.lstat().st_mtime < before:
                    yield path


def _fetched(store: Store, before: float) -> Iterator[Path]:
    """Folders of addresses; whoever fetches from one touches its lock first."""
    for lock in store.work_folder("addresses").glob("*/.lock"):
        if lock.stat().st_mtime < before and not is_locked(lock.parent):
            yield lock.parent


def _read_by_jobs(store: Store) -> set[str]:
    """Every word of the commands of jobs that may still read files."""
    active = [job for job in Jobs(store).list() if job.active]
    return {word for job in active for step in job.record.steps for word in step.command}
