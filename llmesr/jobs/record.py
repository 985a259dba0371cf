"""What a job is, and where it stands: the files of ``<root>/jobs/<id>/``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmesr.errors import UserError
from llmesr.store import now, write_json

State = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
JOB, STATUS, PROGRESS, LOG = "job.json", "status.json", "progress.json", "log.txt"
ACTIVE: tuple[str, ...] = ("PENDING", "RUNNING")
ORPHANED = "Its process ended without a word (killed, out of memory, or a restart)."
LOG_TAIL = 256 * 1024
"""Octets of a log that are read back."""
_PRINTED = {"ingest": "datasets", "split": "datasets", "demo": "datasets", "embed": "embeddings", "blend": "runs"}
"""The kind whose id a command prints, where that names nothing beforehand."""


class Step(BaseModel):
    """One command of a job, as data. The command line is written from it, and nothing reads one back."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: str
    verb: str = Field(min_length=1)
    """The command of ``llmesr``."""
    arguments: list[str] = Field(default_factory=list)
    """What follows it, but for what the fields below say; ``{name}`` stands for an id that an earlier step saved."""
    makes: str | None = None
    """The kind of artifact that ``run`` names."""
    run: str | None = None
    """Id of the run, adapter or search, known before it is made so that it can be watched; where it exists already, the
    step goes on with it."""
    resumes: bool = False
    """Whether the step does nothing but go on with ``run``."""
    reads: list[str] = Field(default_factory=list)
    """Artifacts it needs, as ``kind/id``."""
    trainings: int = Field(0, ge=0)
    """How many runs it trains: the trials of a search."""
    processes: int = Field(1, ge=1)
    """How many processes share the work."""
    saves: str | None = None
    """The name under which the id that the command prints (``--json``) is kept."""

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, data: Any) -> Any:
        """Jobs were stored as bare command lines once; those are read as if somebody had typed them."""
        if not isinstance(data, dict) or "command" not in data:
            return data
        kept = {name: value for name, value in data.items() if name != "command"}
        return {**read_words([str(word) for word in data["command"]]), **{k: v for k, v in kept.items() if v}}

    @property
    def saved_kind(self) -> str:
        """The kind of artifact whose id is kept under ``saves``: a chain has several of a kind under names of its
        own."""
        return self.makes or _PRINTED.get(self.verb, f"{self.saves}s")

    @property
    def command(self) -> list[str]:
        """The arguments after ``llmesr`` that do the step from its beginning."""
        if self.resumes:
            return self.resume_command
        named = ["--run-id", self.run] if self.run else []
        return [self.verb, *self.arguments, *self._processes, *named]

    @property
    def resume_command(self) -> list[str]:
        """The arguments after ``llmesr`` that go on with ``run``."""
        if self.run is None:
            raise ValueError(f"step {self.label!r} has no run to go on with")
        if self.makes == "runs":
            return ["resume", self.run, *self._processes]
        return [self.verb, "--resume", self.run, "--json"]

    @property
    def _processes(self) -> list[str]:
        return ["--processes", str(self.processes)] if self.processes > 1 else []


def typed_step(words: Sequence[str], label: str, *, saves: str | None = None) -> Step:
    """The step of a command that a person typed, ``words`` after ``llmesr``. UserError when it is none."""
    return Step.model_validate({**read_words(words), "label": label, "saves": saves})


def read_words(words: Sequence[str]) -> dict[str, Any]:
    """The fields of a :class:`Step` in a typed command: the only place where words are read."""
    if not words:
        raise UserError("There is no command to run; give one, such as `embed shop`.")
    verb, *rest = words
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--run-id")
    parser.add_argument("--processes", type=int, default=1)
    try:
        options, arguments = parser.parse_known_args(rest)
    except argparse.ArgumentError as error:
        raise UserError(f"`llmesr {' '.join(words)}` cannot be run: {error}.") from error
    step: dict[str, Any] = {"verb": verb, "arguments": arguments, "processes": options.processes, "run": options.run_id}
    if verb == "resume" and arguments:
        step |= {"run": arguments[0], "arguments": arguments[1:], "resumes": True}
    if step["run"]:
        made = {"finetune": "adapters", "search": "searches", "best": "contests", "study": "studies"}
        step["makes"] = made.get(verb, "runs")
    return step


class Record(BaseModel):
    """The part of a job that never changes. ``parents`` are artifacts it needs, as ``kind/id``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    kind: str
    label: str
    steps: list[Step] = Field(min_length=1)
    parents: list[str] = Field(default_factory=list)
    created: str
    public_only: bool = False
    """Whether its commands may reach public addresses only: a visitor of the app began it."""


class JobStatus(BaseModel):
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
    begun: list[int] | None = None
    """Steps whose run (adapter, search) the job began itself. None: written before that was kept."""
    updated: str = ""


@dataclass(frozen=True)
class JobProgress:
    """What the running step last said; ``total`` 0 means not known. ``share`` is that of the whole step, and only
    rises."""

    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Job:
    """A job as read from disk at one moment."""

    folder: Path
    record: Record
    status: JobStatus
    progress: JobProgress

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
    def began(self) -> bool:
        """Whether what the step at hand makes is the job's own, not one of that name that was there already. Of a job
        written before that was kept it is not known, and it counts as its own."""
        return self.status.begun is None or self.status.step in self.status.begun

    @property
    def runs(self) -> list[str]:
        """The training runs the job makes or has made."""
        return [s.run for s in self.record.steps if s.run and s.makes == "runs"]

    @property
    def fraction(self) -> float:
        """Share of the job done, 0..1; the steps count alike."""
        if self.state == "SUCCEEDED":
            return 1.0
        within = min(self.progress.share, 0.99) if self.state == "RUNNING" else 0.0
        return (min(self.status.step, len(self.record.steps)) + within) / len(self.record.steps)

    @property
    def artifacts(self) -> set[str]:
        """``kind/id`` of everything the job reads or is making."""
        kinds = {s.saves: s.saved_kind for s in self.record.steps}
        made = {f"{kinds.get(name, f'{name}s')}/{id}" for name, id in self.status.saved.items()}
        own = {f"{s.makes}/{s.run}" for s in self.record.steps if s.run}
        return {*self.record.parents, *own, *made}

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
        status = (
            JobStatus.model_validate_json(path.read_bytes()) if path.is_file() else JobStatus(queued=record.created)
        )
    except FileNotFoundError:
        raise UserError(f"There is no job {folder.name!r}. `llmesr jobs list` shows what is there.") from None
    except (OSError, ValidationError) as error:
        raise UserError(f"The job {folder.name!r} cannot be read: {str(error).splitlines()[0]}.") from error
    return Job(folder, record, status, _read_progress(folder / PROGRESS))


def write_record(folder: Path, record: Record) -> None:
    write_json(folder / JOB, record.model_dump())


def write_status(folder: Path, status: JobStatus) -> None:
    write_json(folder / STATUS, status.model_copy(update={"updated": now()}).model_dump())


def _read_progress(path: Path) -> JobProgress:
    """The last progress; a file that is absent or strange only means that nothing is known."""
    try:
        value: Any = json.loads(path.read_bytes())
        share = float(value.get("share", 0.0))
        return JobProgress(str(value["stage"]), int(value["done"]), int(value["total"]), min(max(share, 0.0), 1.0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return JobProgress()
