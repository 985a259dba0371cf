"""An artifact that exists while it is being made: manifest, settings, status, one event per line, checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from llmesr.config import Config
from llmesr.errors import UserError
from llmesr.store import (
    MANIFEST,
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
STATUS, EVENTS, CONFIG, CHECKPOINTS = "status.json", "events.jsonl", "config.yaml", "checkpoints"


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
    updated: str = ""


class Live:
    """A folder under the artifact root that is written to while work goes on. Subclasses say of which kind."""

    kind: ClassVar[str]
    noun: ClassVar[str]
    unit: ClassVar[str] = "epoch"
    """What events count; the config's field of that name and an "s" holds the total."""
    resume_command: ClassVar[str]
    unsealed: ClassVar[tuple[str, ...]] = (MANIFEST, STATUS)

    def __init__(self, store: Store, id: str) -> None:
        self.store = store
        self.id = id
        self.folder = store.path(self.kind, id)

    @classmethod
    def create(
        cls, store: Store, config: Config, parents: list[Manifest], *, name: str, id: str | None = None, device: str
    ) -> Self:
        """Make the folder: manifest, config.yaml and a PENDING status."""
        created, values = provenance(), config.model_dump()
        new_id = id or f"{slug(name)}-{config_digest(values, [p.id for p in parents], created['created'])}"
        made = cls(store, new_id)
        if made.folder.exists():
            raise UserError(
                f"{cls.noun} {new_id!r} exists already; resume it with `{cls.resume_command} {new_id}` or delete it."
            )
        (made.folder / CHECKPOINTS).mkdir(parents=True)
        manifest = Manifest(
            kind=cls.kind, id=new_id, name=name, config=values, seed=values["seed"], device=device, **created
        )
        manifest.parents = [store.parent_of(p) for p in parents]
        write_bytes(made.folder / CONFIG, yaml.safe_dump(values, sort_keys=False).encode())
        made.set_status(Status(epochs=values[f"{cls.unit}s"]))
        write_json(made.folder / MANIFEST, manifest.model_dump())
        return made

    @property
    def manifest(self) -> Manifest:
        return self.store.manifest(self.kind, self.id)

    @property
    def dataset_id(self) -> str:
        return str(self.manifest.parent("datasets"))

    def status(self) -> Status:
        path = self.folder / STATUS
        return Status.model_validate_json(path.read_text()) if path.is_file() else Status()

    def set_status(self, status: Status) -> None:
        write_json(self.folder / STATUS, status.model_copy(update={"updated": now()}).model_dump())

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
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def events(self) -> pd.DataFrame:
        """One row per event. A line cut off by a crash is skipped."""
        return pd.DataFrame(self._lines())

    def truncate_events(self, last: int) -> None:
        """Drop events after epoch (or step) ``last``, when going on from an earlier checkpoint."""
        path = self.folder / EVENTS
        if path.is_file():
            kept = [e for e in self._lines() if e[self.unit] <= last]
            write_bytes(path, "".join(json.dumps(e) + "\n" for e in kept).encode())

    def finish(self, status: Status, timings: dict[str, float], info: dict[str, Any]) -> None:
        """Seal: checksums and timings into the manifest, then the final status."""
        manifest = self.manifest
        manifest.timings.update(timings)
        manifest.info.update(info)
        manifest.files = {str(p.relative_to(self.folder)): file_digest(p) for p in self._sealed()}
        write_json(self.folder / MANIFEST, manifest.model_dump())
        self.set_status(status)

    def _sealed(self) -> list[Path]:
        files = [p for p in sorted(self.folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        return [p for p in files if p.name not in self.unsealed and p.relative_to(self.folder).parts[0] != CHECKPOINTS]
