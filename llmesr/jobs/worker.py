"""The process of one job: ``python -m llmesr.jobs.worker FOLDER`` runs its steps and records how they end.

It stands between the queue and the command so that a crash of the command (out of memory, a segmentation
fault in a numeric library) still ends in a FAILED job with a sentence.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from llmesr.errors import UserError
from llmesr.jobs.engine import Engine, kill_tree, started_at
from llmesr.jobs.environment import GRACE
from llmesr.jobs.exchange import leave, take
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import LOG, PROGRESS, Job, Step, read_job, write_status
from llmesr.jobs.settle import artifact_state
from llmesr.store import Store, locked
from llmesr.visitors import PUBLIC_ONLY

DEFAULT_GRACE = 30.0
LOOK_EVERY = 1.0
"""Seconds between looks at the job's status: a queue on another machine asks by it to stop."""
PROGRAM = (sys.executable, "-m", "llmesr")


class Worker:
    """Runs the steps of one job, from the one recorded in its status."""

    def __init__(self, folder: Path, *, program: Sequence[str] = PROGRAM, engine: Engine | None = None) -> None:
        self.folder = folder
        self.program = program
        self.jobs = Jobs(Store.around(folder), engine)
        self.child: subprocess.Popen[bytes] | None = None
        self.stop_at: float | None = None

    def run(self) -> None:
        """Carry the job out, write its final state and start whoever waits."""
        signal.signal(signal.SIGTERM, self._on_stop)
        with locked(self.jobs.folder):
            pass  # the dispatcher writes our process id while it holds the lock; wait for that
        try:
            self._steps()
        except UserError as error:  # of the exchange with a remote store: a command's own errors are in the log
            with locked(self.jobs.folder):
                self.jobs.end(read_job(self.folder), "FAILED", str(error))
        finally:
            self.jobs.dispatch()

    def _steps(self) -> None:
        job = read_job(self.folder)
        self._note("fetched", take(job, self.jobs.store))
        for number in range(job.status.step, len(job.record.steps)):
            job = self._update(step=number)
            (self.folder / PROGRESS).unlink(missing_ok=True)
            started = time.monotonic()
            step = job.record.steps[number]
            code, output = (None, "") if self.stop_at else self._execute(job, step)
            saved = _printed_id(output, step) if code == 0 else None
            if saved is None:
                self._end(job, code)
                return
            job = self._update(
                step=number + 1,
                seconds=[*job.status.seconds, round(time.monotonic() - started, 3)],
                saved={**job.status.saved, **saved},
            )
            self._note("sent", leave(job, self.jobs.store))
        with locked(self.jobs.folder):
            self.jobs.end(read_job(self.folder), "SUCCEEDED", "")

    def _execute(self, job: Job, step: Step) -> tuple[int, str]:
        """Run one command; its exit code and, where an id is wanted from it, its standard output."""
        job = self._begin(job, step)
        if job.began and artifact_state(self.jobs.store, step) == "SUCCEEDED":
            return 0, json.dumps({"run": step.run})  # it ended just before its worker did
        command = _command(job, step, self.jobs.store)
        environment = {
            **os.environ,
            "LLMESR_JOB": str(self.folder),
            "LLMESR_ARTIFACTS": str(self.jobs.store.root),
            "LLMESR_TRACE": "1",  # the log is where somebody looks for it
            "COLUMNS": "2000",  # an error is one line of the log, however long
            PUBLIC_ONLY: "1" if job.record.public_only else "0",
        }
        capture = self.folder / "output.json"
        with open(self.folder / LOG, "ab") as log, open(capture, "wb") as output:
            log.write(f"\n$ llmesr {' '.join(command)}\n".encode())
            log.flush()
            self.child = subprocess.Popen(
                [*self.program, *command],
                stdin=subprocess.DEVNULL,
                stdout=output if step.saves else log,
                stderr=log,
                env=environment,
            )
        self._update(child=self.child.pid, child_started=started_at(self.child.pid))
        if self.stop_at:
            self.child.terminate()  # the request came while the command was being started
        code = self._wait(self.child)
        return code, capture.read_text(encoding="utf-8", errors="replace")

    def _begin(self, job: Job, step: Step) -> Job:
        """Keep that this job begins what the step makes, unless something of that name is there already: then the
        command refuses, as it would in a terminal."""
        store, begun = self.jobs.store, job.status.begun
        if step.run is None or step.makes is None or job.status.step in (begun or ()):
            return job
        there = store.exists(step.makes, step.run)
        if begun is None:
            if there:
                said = "an earlier version wrote this job and did not keep whether it began this itself; it goes on"
                self._note(said, [step.run])
            return job
        taken = artifact_state(store, step) == "SUCCEEDED" if step.resumes else there
        return job if taken else self._update(begun=[*begun, job.status.step])

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        looked = time.monotonic()
        while True:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self.stop_at and time.monotonic() > self.stop_at:
                    kill_tree(child.pid)
                if time.monotonic() - looked > LOOK_EVERY:
                    looked = time.monotonic()
                    if read_job(self.folder).status.stop_requested:
                        self._stop()

    def _note(self, what: str, names: list[str]) -> None:
        if names:
            with open(self.folder / LOG, "a", encoding="utf-8") as log:
                log.write(f"\n{what}: {', '.join(names)}\n")

    def _end(self, job: Job, code: int | None) -> None:
        with locked(self.jobs.folder):
            if self.stop_at is not None:
                self.jobs.end(job, "STOPPED", "Stopped; it can go on where it was.")
            else:
                self.jobs.end(job, "FAILED", _failure(job, code))

    def _update(self, **changes: object) -> Job:
        with locked(self.jobs.folder):
            write_status(self.folder, read_job(self.folder).status.model_copy(update=changes))
            return read_job(self.folder)

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.stop_at is not None:
            return  # a second request would cut short what the command does to end well
        self.stop_at = time.monotonic() + float(os.environ.get(GRACE) or DEFAULT_GRACE)
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()


def _command(job: Job, step: Step, store: Store) -> list[str]:
    """The arguments with saved ids filled in; a run, an adapter or a search that the job began is resumed."""
    if job.began and step.run and step.makes and store.exists(step.makes, step.run):
        return step.resume_command
    filled = []
    for argument in step.command:
        for name, value in job.status.saved.items():
            argument = argument.replace("{" + name + "}", value)
        filled.append(argument)
    return filled


def _printed_id(output: str, step: Step) -> dict[str, str] | None:
    """The id a command printed as JSON, under the name its step gives it; None when it printed none."""
    if not step.saves:
        return {}
    try:
        document = json.loads(output)
        return {step.saves: str(document.get("id") or document["run"])}
    except (ValueError, KeyError, AttributeError):
        return None


def _failure(job: Job, code: int | None) -> str:
    """Why a command failed, in a sentence: its own last error line, or the signal that ended it."""
    lines = [line.strip() for line in job.log(16_384).splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("Error: ")), None)
    if said:
        return said.removeprefix("Error: ")
    if code == 0:
        return f"{job.step.label} ended without printing the id of what it made."
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " The machine may have run out of memory." if name == "SIGKILL" else ""
        return f"{job.step.label}: the process was ended by {name}.{hint}"
    last = lines[-1] if lines else "no output"
    return f"{job.step.label} failed ({last[:300]}). The log has the details."


if __name__ == "__main__":
    Worker(Path(sys.argv[1]).resolve()).run()
