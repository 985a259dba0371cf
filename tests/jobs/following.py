"""A queue of small commands, and following a job until it is where a test wants it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from small_commands import engine

from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store


def small_queue(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A queue of small commands on one slot; what still runs at the end is killed."""
    monkeypatch.setenv("LLMESR_SLOTS", "cpu")
    monkeypatch.setenv("LLMESR_STOP_GRACE", "0.3")
    made = Jobs(store, engine())
    yield made
    for job in made.list():
        made.engine.kill(job.status)


def wait(jobs: Jobs, id: str, holds: Callable[[Job], bool], seconds: float = 20) -> Job:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job = jobs.get(id)
        if holds(job):
            return job
        time.sleep(0.03)
    raise AssertionError(f"{job.status}\n{job.log()}")


def ended(jobs: Jobs, id: str) -> Job:
    return wait(jobs, id, lambda j: not j.active)


def run(jobs: Jobs, *command: str, **more: Any) -> Job:
    return jobs.submit(list(command), kind="test", label=" ".join(command), **more)


def worker_of(job: Job) -> int:
    assert isinstance(job.status.worker, int)
    return job.status.worker


def child_of(job: Job) -> int:
    assert job.status.child is not None
    return job.status.child
