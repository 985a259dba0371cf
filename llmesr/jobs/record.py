"""What a job is, and where it stands: the files of ``<root>/jobs/<id>/``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmesr.errors import UserError
from llmesr.store import now, write_json

State = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
JOB, STATUS, PROGRESS, LOG = "job.json", "status.json", "progress.json", "log.txt"
ACTIVE: tuple[str, ...] = ("PENDING", "RUNNING")
LOG_TAIL = 256 * 1024
"""Octets of a log that are read back."""


class Step(BaseModel):
    """One command line of a job: the arguments after ``llmesr``.

    ``saves`` keeps the id that the command prints (``--json``) under that name; a later step says ``{name}``.
    ``run`` is the training run (or adapter, or search) the command makes: once it exists, the step resumes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    command: list[str] = Field(min_length=1)
    label: str
    saves: str | None = None
    run: str | None = None

    @property
    def makes(self) -> str:
        """The kind of artifact that ``run`` names."""
        return {"finetune": "adapters", "search": "searches"}.get(self.command[0], "runs")


class Record(BaseModel):
    """The part of a job that never changes. ``parents`` are artifacts it needs, as ``kind/id``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    kind: str
    label: str
    steps: list[Step] = Field(min_length=1)
    parents: list[str] = Field(default_factory=list)
    created: str


class Status(BaseModel):
    """The part that changes. A process is known by its pid AND its start time: pids are used again.

    ``worker`` is a pid of this machine, or a cluster's name for the worker (see ``engine``).
    """

    model_config = ConfigDict(extra="forbid")
    state: State = "PENDING"
    step: int = 0
    message: str = ""
    slot: str | None = None
    worker: int | str | None = None
    worker_started: float | None = None
    child: int | None = None
    child_started: float | None = None
    stop_requested: bool = False
    queued: str = ""
    started: str | None = None
    finished: str | None = None
    seconds: list[float] = Field(default_factory=list)
    saved: dict[str, str] = Field(default_factory=dict)
    updated: str = ""


@dataclass(frozen=True)
class Progress:
    """What the running step last said; ``total`` 0 means not known."""

    stage: str = ""
    done: int = 0
    total: int = 0

    @property
    def fraction(self) -> float:
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


@dataclass(frozen=True)
class Job:
    """A job as read from disk at one moment."""

    folder: Path
    record: Record
    status: Status
    progress: Progress

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def label(self) -> str:
        return self.record.label

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def active(self) -> bool:
        """Waiting or running."""
        return self.state in ACTIVE

    @property
    def step(self) -> Step:
        """The step that runs, ran last or will run next."""
        return self.record.steps[min(self.status.step, len(self.record.steps) - 1)]

    @property
    def runs(self) -> list[str]:
        """The training runs the job makes or has made."""
        return [s.run for s in self.record.steps if s.run and s.makes == "runs"]

    @property
    def fraction(self) -> float:
        """Share of the job done, 0..1; the steps count alike."""
        if self.state == "SUCCEEDED":
            return 1.0
        within = min(self.progress.fraction, 0.99) if self.state == "RUNNING" else 0.0
        return (min(self.status.step, len(self.record.steps)) + within) / len(self.record.steps)

    @property
    def artifacts(self) -> set[str]:
        """``kind/id`` of everything the job reads or is making."""
        made = {f"{kind}s/{id}" for kind, id in self.status.saved.items()}
        return {*self.record.parents, *(f"{s.makes}/{s.run}" for s in self.record.steps if s.run), *made}

    def log(self, octets: int = LOG_TAIL) -> str:
        """The end of the log."""
        path = self.folder / LOG
        if not path.is_file():
            return ""
        with open(path, "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - octets))
            return handle.read().decode("utf-8", errors="replace")


def read_job(folder: Path) -> Job:
    """Read a job folder. UserError naming the file when it is missing or damaged."""
    try:
        record = Record.model_validate_json((folder / JOB).read_bytes())
        path = folder / STATUS
        status = Status.model_validate_json(path.read_bytes()) if path.is_file() else Status(queued=record.created)
    except FileNotFoundError:
        raise UserError(f"There is no job {folder.name!r}. `llmesr jobs list` shows what is there.") from None
    except (OSError, ValidationError) as error:
        raise UserError(f"The job {folder.name!r} cannot be read: {str(error).splitlines()[0]}.") from error
    return Job(folder, record, status, _read_progress(folder / PROGRESS))


def write_record(folder: Path, record: Record) -> None:
    write_json(folder / JOB, record.model_dump())


def write_status(folder: Path, status: Status) -> None:
    write_json(folder / STATUS, status.model_copy(update={"updated": now()}).model_dump())


def _read_progress(path: Path) -> Progress:
    """The last progress; a file that is absent or strange only means that nothing is known."""
    try:
        value: Any = json.loads(path.read_bytes())
        return Progress(str(value["stage"]), int(value["done"]), int(value["total"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()
