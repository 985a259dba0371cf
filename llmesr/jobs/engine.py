"""Who carries jobs out: :class:`LocalEngine`, or a cluster's scheduler (``ray_engine``) in its place.

State and log are files (see ``record``), so an engine only starts, watches and ends a worker.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil

from llmesr.errors import UserError
from llmesr.jobs.environment import ENGINE, SLOTS
from llmesr.jobs.record import LOG, ORPHANED, Job, JobStatus

WORKER = (sys.executable, "-m", "llmesr.jobs.worker")
START_TOLERANCE = 2.0
"""Seconds by which two readings of one process's start time may differ: the system rounds that of its own."""


class Engine(Protocol):
    """Submit, state, stop; the log is the job's own file."""

    def slots(self) -> list[str]:
        """The places in which one job at a time may run."""
        ...

    def start(self, job: Job, slot: str) -> tuple[int | str, float]:
        """Start the worker of a job: what the engine knows it by, and its start time. OSError when it cannot."""
        ...

    def alive(self, status: JobStatus) -> bool:
        """Whether the worker still waits to start or runs; True also where this engine cannot know."""
        ...

    def stop(self, status: JobStatus) -> None:
        """Ask the worker to stop; it lets its command save a checkpoint and ends it after a grace period."""
        ...

    def kill(self, status: JobStatus) -> None:
        """End whatever is left of the job at once."""
        ...

    def explain(self, status: JobStatus) -> str:
        """Why a worker that wrote no last word is gone, in a sentence."""
        ...


class LocalEngine:
    """Detached processes on this machine: own session, so they outlive the web server that started them."""

    def __init__(self, worker: Sequence[str] = WORKER) -> None:
        self.worker = worker

    def slots(self) -> list[str]:
        named = os.environ.get(SLOTS)
        if named:
            return [s.strip() for s in named.split(",") if s.strip()]
        cards = sorted(p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*"))
        return [f"cuda:{n}" for n in cards] or ["cpu"]

    def start(self, job: Job, slot: str) -> tuple[int, float]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if slot.startswith("cuda:"):
            environment["CUDA_VISIBLE_DEVICES"] = slot.partition(":")[2].replace("+", ",")
        with open(job.folder / LOG, "ab") as log:
            process = subprocess.Popen(
                [*self.worker, str(job.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return process.pid, started_at(process.pid) or 0.0

    def alive(self, status: JobStatus) -> bool:
        # A name instead of a process id is a cluster's: only its own engine can say.
        return isinstance(status.worker, str) or is_running(status.worker, status.worker_started)

    def stop(self, status: JobStatus) -> None:
        if isinstance(status.worker, int) and self.alive(status):
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.worker, signal.SIGTERM)

    def kill(self, status: JobStatus) -> None:
        for pid, started in ((status.worker, status.worker_started), (status.child, status.child_started)):
            if isinstance(pid, int) and is_running(pid, started):
                kill_tree(pid)

    def explain(self, status: JobStatus) -> str:
        return ORPHANED


def engine_of_environment() -> Engine:
    """The engine that :data:`ENGINE` names. UserError for a name that is none."""
    named = os.environ.get(ENGINE) or "local"
    if named == "local":
        return LocalEngine()
    kind, _, address = named.partition(":")
    if kind != "ray" or not address:
        raise UserError(f"{ENGINE}={named} is no engine: local, or ray:ADDRESS such as ray:http://127.0.0.1:8265.")
    from llmesr.jobs.ray_engine import RayEngine

    return RayEngine(address)


def started_at(pid: int) -> float | None:
    """The start time of a process, or None when it is gone (a zombie is gone).

    On Linux in seconds since the machine started: the system tells the time of day of both by the clock of today, which
    may have been put right since.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0))
    except psutil.Error:
        return None


def is_running(pid: int | None, started: float | None) -> bool:
    """Whether the process with this id is still the one that started then."""
    if pid is None or started is None:
        return False
    now = started_at(pid)
    return now is not None and abs(now - started) < START_TOLERANCE


def kill_tree(pid: int) -> None:
    """SIGKILL a process and its descendants."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
