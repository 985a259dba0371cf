"""The queue of jobs of one artifact root: submit, list, stop, resume, retry, and start what waits.

There is no daemon. Whoever submits, resumes or reconciles, and every worker as it ends, calls
:meth:`Jobs.dispatch` under a file lock, which starts the oldest waiting job on every free slot.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmesr.errors import UserError
from llmesr.jobs.engine import Engine, engine_of_environment
from llmesr.jobs.record import (
    PROGRESS,
    Job,
    JobStatus,
    Record,
    State,
    Step,
    read_job,
    typed_step,
    write_record,
    write_status,
)
from llmesr.jobs.settle import settle
from llmesr.store import Store, locked, now, slug


class Jobs:
    """The jobs of an artifact root. With ``public_only``, the commands of what is submitted reach public addresses
    only."""

    def __init__(self, store: Store, engine: Engine | None = None, *, public_only: bool = False) -> None:
        self.store = store
        self.public_only = public_only
        self.engine = engine or engine_of_environment()
        self.folder = store.work_folder("jobs")

    def submit(self, command: Sequence[str], *, kind: str, label: str, parents: Sequence[str] = ()) -> Job:
        """Queue one typed command (the arguments after ``llmesr``); ``parents`` are ``kind/id`` of what it reads."""
        return self.submit_steps([typed_step(command, label)], kind=kind, label=label, parents=parents)

    def submit_steps(self, steps: Sequence[Step], *, kind: str, label: str, parents: Sequence[str] = ()) -> Job:
        """Queue commands that run one after the other; the job can go on at the one that failed.

        ``parents`` are ``kind/id`` of what it needs beside what its steps read.
        """
        created = now()
        reads = [name for step in steps for name in step.reads if "{" not in name]  # what is there already
        id = f"{slug(kind)}-{secrets.token_hex(3)}"
        needed = list(dict.fromkeys([*parents, *reads]))
        record = Record(
            id=id,
            kind=kind,
            label=label,
            steps=list(steps),
            parents=needed,
            created=created,
            public_only=self.public_only,
        )
        with self.store.scratch("jobs") as new:
            write_status(new, JobStatus(queued=created, begun=[]))
            write_record(new, record)
            new.chmod(0o755)
            with locked(self.folder):
                new.rename(self.folder / id)
        self.dispatch()
        return self.get(id)

    def get(self, id: str) -> Job:
        """A job by id or unique prefix. UserError when there is none."""
        if not id or "/" in id or id.startswith("."):
            raise UserError(f"{id!r} is not a job id.")
        names = [p.name for p in self._folders() if p.name.startswith(id)]
        if id not in names and len(names) > 1:
            raise UserError(f"{id!r} fits several jobs: {', '.join(names)}. Give one.")
        return read_job(self.folder / (id if id in names or not names else names[0]))

    def list(self) -> Sequence[Job]:
        """Readable jobs, newest first."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(UserError):
                found.append(read_job(folder))
        return sorted(found, key=lambda j: j.record.created, reverse=True)

    def broken(self) -> dict[str, str]:
        """Unreadable jobs: id -> the reason in a sentence."""
        reasons = {}
        for folder in self._folders():
            try:
                read_job(folder)
            except UserError as error:
                reasons[folder.name] = str(error)
        return reasons

    def stop(self, id: str, *, force: bool = False) -> Job:
        """Stop a job: a waiting one at once, a running one after its checkpoint, with ``force`` without waiting for it.

        Asking again changes nothing: a click that arrives twice must not cost the checkpoint.
        """
        with locked(self.folder):
            job = self.get(id)
            if not job.active:
                raise UserError(f"Job {job.id!r} is {job.state}; there is nothing to stop.")
            if job.state == "PENDING":
                self.end(job, "STOPPED", "Stopped before it started.")
            elif force or not job.status.stop_requested:
                write_status(job.folder, job.status.model_copy(update={"stop_requested": True}))
                (self.engine.kill if force else self.engine.stop)(job.status)
        self.dispatch()
        return self.get(job.id)

    def resume(self, id: str) -> Job:
        """Queue a stopped or failed job again; it goes on at the step where it ended."""
        with locked(self.folder):
            job = self.get(id)
            if job.state not in ("STOPPED", "FAILED"):
                raise UserError(f"Job {job.id!r} is {job.state}; only a stopped or failed one can go on.")
            kept = job.status.model_dump(include={"step", "seconds", "saved", "begun"})
            (job.folder / PROGRESS).unlink(missing_ok=True)
            write_status(job.folder, JobStatus(queued=now(), message="Waiting to go on.", **kept))
        self.dispatch()
        return self.get(job.id)

    def retry(self, id: str) -> Job:
        """Submit the whole job anew, from its first step and with new runs."""
        job = self.get(id)
        if job.active:
            raise UserError(f"Job {job.id!r} is {job.state}; stop it before trying again.")
        record = job.record
        again = Jobs(self.store, self.engine, public_only=self.public_only or record.public_only)
        own = {f"{s.makes}/{s.run}" for s in record.steps if s.run and not s.resumes}
        parents = [name for name in record.parents if name not in own]
        return again.submit_steps(_renewed(record.steps), kind=record.kind, label=record.label, parents=parents)

    def delete(self, id: str) -> None:
        """Forget a finished job with its log. What it made stays."""
        with locked(self.folder):
            job = self.get(id)
            if job.active:
                raise UserError(f"Job {job.id!r} is {job.state}; stop it first.")
            shutil.rmtree(job.folder)

    def using(self, kind: str, id: str) -> Sequence[Job]:
        """Waiting and running jobs that read or make an artifact."""
        name = f"{kind}/{id}"
        return [j for j in self.list() if j.active and name in j.artifacts]

    def delete_artifact(self, kind: str, id: str) -> None:
        """Delete an artifact unless a job uses it or others were made from it. UserError with the reason."""
        self.check_unused(kind, id)
        self.store.delete(kind, id)

    def check_unused(self, kind: str, id: str) -> None:
        """UserError naming the job when one that has not ended uses the artifact."""
        if users := self.using(kind, id):
            names = ", ".join(f"{j.label} ({j.id})" for j in users)
            raise UserError(f"{id!r} is used by a job that has not ended: {names}. Stop it first.")

    def reconcile(self) -> None:
        """Settle jobs whose worker is gone, and start what waits. Call on start-up and now and then.

        Who may only read the root leaves that to those who may write.
        """
        if self.writable:
            self.dispatch()

    @property
    def writable(self) -> bool:
        """Whether jobs can be submitted and settled by this user."""
        nearest = next(f for f in (self.folder, *self.folder.parents) if f.exists())
        return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)

    def dispatch(self) -> None:
        """Settle orphans, then start the oldest waiting job on each free slot."""
        with locked(self.folder):
            jobs = self.list()
            for job in jobs:
                if job.state == "RUNNING" and not self.engine.alive(job.status):
                    self._orphan(job)
            busy = [j.status.slot for j in self.list() if j.state == "RUNNING"]
            free = [s for s in self.engine.slots() if s not in busy]
            waiting = sorted((j for j in jobs if j.state == "PENDING"), key=lambda j: j.status.queued)
            for slot, job in zip(free, waiting, strict=False):
                self._start(job, slot)

    def end(self, job: Job, state: State, message: str) -> None:
        """Write a job's final state (and that of a run its worker left behind); the caller holds the lock."""
        changes = {"state": state, "message": message, "finished": now(), "child": None, "worker": None}
        now_there = read_job(job.folder)
        if now_there.began:
            settle(self.store, now_there.step, state, message)
        write_status(job.folder, now_there.status.model_copy(update=changes))

    def _start(self, job: Job, slot: str) -> None:
        try:
            worker, started = self.engine.start(job, slot)
        except OSError as error:
            self.end(job, "FAILED", f"The worker could not be started: {error}.")
            return
        changes = {"state": "RUNNING", "slot": slot, "worker": worker, "worker_started": started, "message": ""}
        write_status(job.folder, job.status.model_copy(update={**changes, "started": now(), "stop_requested": False}))

    def _orphan(self, job: Job) -> None:
        self.engine.kill(job.status)  # a command may have outlived its worker
        if job.status.stop_requested:
            self.end(job, "STOPPED", "Stopped by force.")
        else:
            self.end(job, "FAILED", f"{self.engine.explain(job.status)} Resume it.")

    def _folders(self) -> Sequence[Path]:
        entries = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [p for p in entries if p.is_dir() and not p.name.startswith(".")]


def _renewed(steps: Sequence[Step]) -> list[Step]:
    """Copies of steps that make runs of their own; each reads those that the copies before it make."""
    new: dict[str, str] = {}
    made: list[Step] = []
    for step in steps:
        changes: dict[str, object] = {
            "arguments": [_reworded(word, new) for word in step.arguments],
            "reads": [_reworded(name, new) for name in step.reads],
        }
        if step.run is not None:
            if not step.resumes:
                new[step.run] = f"{step.run[:40].rstrip('-')}-{secrets.token_hex(3)}"
            changes["run"] = new.get(step.run, step.run)
        made.append(step.model_copy(update=changes))
    return made


def _reworded(text: str, new: Mapping[str, str]) -> str:
    """``text`` with ids exchanged where they stand as whole words: alone, in ``teacher=ID`` or in ``runs/ID``."""
    return re.sub(r"[\w.-]+", lambda word: new.get(word[0], word[0]), text) if new else text
