"""An artifact that exists while it is being made: manifest, settings, status, one event per line, checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from llmesr.config import Config
from llmesr.errors import UserError
from llmesr.store import (
    CHECKPOINTS,
    MANIFEST,
    STATUS,
    Manifest,
    Store,
    config_digest,
    file_digest,
    now,
    provenance,
    slug,
    write_bytes,
    write_json,
)

State = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
EVENTS, CONFIG = "events.jsonl", "config.yaml"


class Status(BaseModel):
    """Where the work stands: ``epoch`` of ``epochs`` (steps, where work is counted in steps), and ``best``, the best
    validation value of the metric that is watched."""

    model_config = ConfigDict(extra="forbid")
    state: State = "PENDING"
    epoch: int = 0
    epochs: int = 0
    best: float | None = None
    seconds_left: float | None = None
    message: str = ""
    run: str | None = None
    """Of a contest or a study: the run that is trained now, whether it has begun or not."""
    spent: float | None = None
    """Of a contest: seconds it has worked, before it was stopped included."""
    updated: str = ""


class Live:
    """A folder under the artifact root that is written to while work goes on. Subclasses say of which kind."""

    kind: ClassVar[str]
    noun: ClassVar[str]
    unit: ClassVar[str] = "epoch"
    """What events count; the config's field of that name and an "s" holds the total, where it is known at first."""
    resume_command: ClassVar[str]
    unsealed: ClassVar[tuple[str, ...]] = (MANIFEST, STATUS)
    shape: ClassVar[type[BaseModel] | None] = None
    """What a line must be to count as an event, where readers rely on that."""

    def __init__(self, store: Store, id: str) -> None:
        self.store = store
        self.id = id
        self.folder = store.path(self.kind, id)

    @classmethod
    def create(
        cls,
        store: Store,
        config: Config,
        parents: list[Manifest],
        *,
        name: str,
        id: str | None = None,
        device: str,
        info: Mapping[str, Any] | None = None,
    ) -> Self:
        """A new artifact, there in one step: manifest (with ``info``), config.yaml and a PENDING status."""
        created, values = provenance(), config.model_dump()
        new_id = id or f"{slug(name)}-{config_digest(values, [p.id for p in parents], created['created'])}"
        manifest = Manifest(
            kind=cls.kind, id=new_id, name=name, config=values, seed=values["seed"], device=device, **created
        )
        manifest.parents = [store.parent_of(p) for p in parents]
        manifest.info = dict(info or {})
        try:
            with store.new(manifest, replace=False) as folder:
                (folder / CHECKPOINTS).mkdir()
                write_bytes(folder / CONFIG, yaml.safe_dump(values, sort_keys=False).encode())
                _write_status(folder, Status(epochs=values.get(f"{cls.unit}s", 0)))
        except FileExistsError:
            raise UserError(
                f"{cls.noun} {new_id!r} exists already; resume it with `{cls.resume_command} {new_id}` or delete it."
            ) from None
        return cls(store, new_id)

    @property
    def manifest(self) -> Manifest:
        return self.store.manifest(self.kind, self.id)

    @property
    def dataset_id(self) -> str:
        return str(self.manifest.parent("datasets"))

    def status(self) -> Status:
        """Where the work stands. A status that cannot be read is a failure that says so: it hurts nobody else."""
        path = self.folder / STATUS
        if not path.is_file():
            return Status()
        try:
            return Status.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            return Status(
                state="FAILED", message=f"{STATUS} is damaged ({reason}). `{self.resume_command} {self.id}` mends it."
            )

    def set_status(self, status: Status) -> None:
        _write_status(self.folder, status)

    @property
    def checkpoints(self) -> Path:
        """The folder of what only going on with the work needs."""
        return self.folder / CHECKPOINTS

    def checkpoint(self, name: str) -> Path:
        """Where the checkpoint of that name is or would be."""
        return self.checkpoints / name

    def discard_checkpoints(self) -> None:
        """Remove them all: the work has ended and will not be gone on with."""
        shutil.rmtree(self.checkpoints)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only one who works on it. UserError when another process does."""
        with self.store.hold(self.kind, self.id):
            yield

    def set_state(self, state: State, message: str) -> None:
        """Change the state and what is said of it; the rest of the status stays."""
        self.set_status(self.status().model_copy(update={"state": state, "message": message}))

    def append_event(self, event: Mapping[str, Any]) -> None:
        """One JSON line, flushed to disk."""
        with open(self.folder / EVENTS, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"time": now(), **event}) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / EVENTS
        rows: list[dict[str, Any]] = []
        for line in path.read_bytes().splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):  # cut off by a crash, or damaged: the others still count
                row = json.loads(line)
                if self.shape is not None:
                    self.shape.model_validate(row)
                rows += [row] if isinstance(row, dict) else []
        return rows

    def events(self) -> pd.DataFrame:
        """One row per event. A line cut off by a crash is skipped."""
        return pd.DataFrame(self._lines())

    def truncate_events(self, last: int) -> None:
        """Drop events after epoch (or step) ``last``, when going on from an earlier checkpoint."""
        path = self.folder / EVENTS
        if path.is_file():
            kept = [e for e in self._lines() if e.get(self.unit, 0) <= last]
            write_bytes(path, "".join(json.dumps(e) + "\n" for e in kept).encode())

    def finish(self, status: Status, timings: dict[str, float], info: dict[str, Any]) -> None:
        """Seal: checksums and timings into the manifest, then the final status."""
        sealed = [p for p in self.store.files(self.kind, self.id) if p.name not in self.unsealed]
        files = {p.relative_to(self.folder).as_posix(): file_digest(p) for p in sealed}
        with self.store.changing(self.kind, self.id) as manifest:
            manifest.timings.update(timings)
            manifest.info.update(info)
            manifest.files = files
        self.set_status(status)


def _write_status(folder: Path, status: Status) -> None:
    kept = status.model_copy(update={"updated": now()}).model_dump()
    write_json(folder / STATUS, {k: v for k, v in kept.items() if v is not None or k not in ("run", "spent")})
