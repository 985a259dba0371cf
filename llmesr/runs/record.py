"""What a training run records, and how it is read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

from llmesr.config import RunConfig
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
MODEL, PER_USER, TOP_ITEMS, METRICS = "model.safetensors", "per_user.parquet", "top_items.safetensors", "metrics.json"
STATUS, EVENTS, CONFIG, CHECKPOINTS, POLICY = "status.json", "events.jsonl", "config.yaml", "checkpoints", "policy.json"


class Status(BaseModel):
    """Where a run stands. ``best`` is the best validation value of the monitored metric."""

    model_config = ConfigDict(extra="forbid")
    state: State = "PENDING"
    epoch: int = 0
    epochs: int = 0
    best: float | None = None
    seconds_left: float | None = None
    message: str = ""
    updated: str = ""


class Run:
    """A run folder under the artifact root."""

    def __init__(self, store: Store, id: str) -> None:
        self.store = store
        self.id = id
        self.folder = store.path("runs", id)

    @classmethod
    def create(
        cls, store: Store, config: RunConfig, parents: list[Manifest], *, name: str, id: str | None = None, device: str
    ) -> Run:
        """Make the folder of a new run: manifest, config.yaml and a PENDING status."""
        created = provenance()
        run_id = id or f"{slug(name)}-{config_digest(config.model_dump(), [p.id for p in parents], created['created'])}"
        run = cls(store, run_id)
        if run.folder.exists():
            raise UserError(f"Run {run_id!r} exists already; resume it with `llmesr resume {run_id}` or delete it.")
        (run.folder / CHECKPOINTS).mkdir(parents=True)
        manifest = Manifest(
            kind="runs", id=run_id, name=name, config=config.model_dump(), seed=config.seed, device=device, **created
        )
        manifest.parents = [store.parent_of(p) for p in parents]
        write_bytes(run.folder / CONFIG, yaml.safe_dump(config.model_dump(), sort_keys=False).encode())
        run.set_status(Status(epochs=config.epochs))
        write_json(run.folder / MANIFEST, manifest.model_dump())
        return run

    @property
    def manifest(self) -> Manifest:
        return self.store.manifest("runs", self.id)

    @property
    def config(self) -> RunConfig:
        return RunConfig.read(None, **self.manifest.config)

    @property
    def dataset_id(self) -> str:
        return str(self.manifest.parent("datasets"))

    @property
    def label(self) -> str:
        """``method/backbone`` for trained methods, ``method`` alone for the others."""
        config = self.manifest.config
        trained = config["method"] not in ("popularity", "semantic-knn")
        return f"{config['method']}/{config['backbone']}" if trained else str(config["method"])

    def status(self) -> Status:
        path = self.folder / STATUS
        return Status.model_validate_json(path.read_text()) if path.is_file() else Status()

    def set_status(self, status: Status) -> None:
        write_json(self.folder / STATUS, status.model_copy(update={"updated": now()}).model_dump())

    def append_event(self, event: Mapping[str, Any]) -> None:
        """One JSON line per epoch, flushed to disk."""
        with open(self.folder / EVENTS, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"time": now(), **event}) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def events(self) -> pd.DataFrame:
        """One row per epoch: epoch, loss, seconds, learning_rate and validation metrics as
        ``<protocol>/<group>/<metric>``. A line cut off by a crash is skipped."""
        path = self.folder / EVENTS
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return pd.DataFrame(rows)

    def truncate_events(self, epoch: int) -> None:
        """Drop events after ``epoch`` (resuming from an earlier checkpoint)."""
        path = self.folder / EVENTS
        if path.is_file():
            kept = [e for e in self.events().to_dict("records") if e["epoch"] <= epoch]
            write_bytes(path, "".join(json.dumps(e) + "\n" for e in kept).encode())

    def write_results(self, per_user: pd.DataFrame, top_items: np.ndarray, metrics: Any) -> None:
        """Store the evaluation: the frame of ranks, the (users, K) top items of the test part, the table."""
        per_user.to_parquet(self.folder / f".{PER_USER}", index=False)
        os.replace(self.folder / f".{PER_USER}", self.folder / PER_USER)
        save_file({"items": np.ascontiguousarray(top_items)}, self.folder / f".{TOP_ITEMS}")
        os.replace(self.folder / f".{TOP_ITEMS}", self.folder / TOP_ITEMS)
        write_json(self.folder / METRICS, metrics)

    def finish(self, status: Status, timings: dict[str, float], info: dict[str, Any]) -> None:
        """Seal the run: checksums and timings into the manifest, then the final status."""
        manifest = self.manifest
        manifest.timings.update(timings)
        manifest.info.update(info)
        files = [p for p in self.folder.iterdir() if p.is_file() and not p.name.startswith(".")]
        sealed = {p.name: file_digest(p) for p in sorted(files) if p.name not in (MANIFEST, STATUS, POLICY)}
        manifest.files = sealed
        write_json(self.folder / MANIFEST, manifest.model_dump())
        self.set_status(status)

    def per_user(self) -> pd.DataFrame:
        """The frame of ranks; UserError while the run has no evaluation."""
        path = self.folder / PER_USER
        if not path.is_file():
            raise UserError(f"Run {self.id!r} has no evaluation yet (state {self.status().state}).")
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise UserError(f"Run {self.id!r} is damaged: {PER_USER} cannot be read. Evaluate it again.") from error

    def top_items(self) -> np.ndarray:
        """(U_eval, K) int32 items recommended on the test part, best first, under ``full``."""
        path = self.folder / TOP_ITEMS
        if not path.is_file():
            raise UserError(f"Run {self.id!r} has no stored recommendations; evaluate it again.")
        return load_file(path)["items"]

    def metrics(self) -> list[dict[str, Any]]:
        """The stored metric rows (see ``evaluation.table``)."""
        path = self.folder / METRICS
        return json.loads(path.read_text()) if path.is_file() else []


def list_runs(store: Store, dataset: str | None = None) -> list[Run]:
    """Readable runs, newest first; of one dataset id when given."""
    manifests = store.list("runs")
    return [Run(store, m.id) for m in manifests if dataset is None or m.parent("datasets") == dataset]


def find_run(store: Store, ref: str) -> Run:
    """A run by id, unique prefix or name. UserError when unknown."""
    return Run(store, store.find("runs", ref).id)


def run_folder(path: Path) -> Run:
    """The run that lives in ``path``."""
    path = Path(path).resolve()
    return Run(Store(path.parent.parent), path.name)
