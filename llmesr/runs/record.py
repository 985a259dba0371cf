"""What a training run records, and how it is read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from llmesr import cards
from llmesr.config import BLEND, EXTERNAL, RunConfig, named_with_backbone
from llmesr.errors import UserError
from llmesr.runs import rank_file
from llmesr.runs.live import Live, State, Status
from llmesr.runs.settings import FORMERLY
from llmesr.store import Store, header_bytes, locked, read_header, read_json, replacing, slug, write_json

__all__ = ["Remarks", "Run", "State", "Status", "find_run", "list_runs", "run_folder"]

MODEL, PER_USER, TOP_ITEMS, METRICS = "model.safetensors", "per_user.parquet", "top_items.safetensors", "metrics.json"
VALIDATED = "validated.safetensors"
"""The model that validation was asked of, where the split then trained :data:`MODEL` again, with validation."""
POLICY = "policy.json"
REMARKS = "remarks.json"
MAPPED_FROM = 2**24
"""Bytes of stored lists from which they are mapped."""
LONGEST_TAG, LONGEST_NOTE = 40, 2000
SHOWN = ("HR@10", "NDCG@10", "MRR@10", "Recall@10")


class Remarks(BaseModel):
    """What people say of a run. It may change, so that no checksum covers it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False
    """Whether it is left out of what is offered, and of the rules that choose among runs."""


def tagged(tag: str) -> str:
    """A tag as it is kept: on one line. UserError when it is empty or too long."""
    tag = " ".join(tag.split())
    if not 0 < len(tag) <= LONGEST_TAG or "," in tag:
        raise UserError(f"{tag[:60]!r} is no tag: a word or two without a comma, at most {LONGEST_TAG} characters.")
    return tag


class Run(Live):
    """A run folder under the artifact root. Events hold epoch, loss, seconds, learning_rate and validation metrics
    as ``<protocol>/<group>/<metric>``."""

    kind, noun, unit, resume_command = "runs", "Run", "epoch", "llmesr resume"
    unsealed = (*Live.unsealed, POLICY, REMARKS)

    @property
    def config(self) -> RunConfig:
        values = self.manifest.config
        if values.get("method") in (EXTERNAL, BLEND):  # not settings anyone may choose, so they would not pass as one
            read = {name: values[name] for name in ("method", "max_length", "seed") if values.get(name) is not None}
            return RunConfig().model_copy(update=read)
        return RunConfig.read(None, **{**FORMERLY, **values})

    @property
    def label(self) -> str:
        """``method/backbone`` where there is a backbone, ``method`` alone for the others. It stands in headings, where
        a run from elsewhere shall put nothing but letters, however it names its method."""
        config = self.manifest.config
        method = slug(str(config["method"]))
        return f"{method}/{slug(str(config['backbone']))}" if named_with_backbone(method) else method

    def _repr_html_(self) -> str:
        """What a notebook shows: settings that matter, and the test part's metrics once there are any."""
        manifest, status = self.manifest, self.status()
        rows = [("state", status.state), ("dataset", self.dataset_id), ("seed", manifest.seed)]
        metrics = pd.DataFrame(self.metrics())
        found = ""
        if not metrics.empty:
            named = metrics["dimension"].isin(("overall", "item", "user")) & metrics["metric"].isin(SHOWN)
            asked = metrics[named & (metrics["protocol"] == "full")]
            table = asked.pivot_table(index="group", columns="metric", values="value", sort=False)
            found = cards.grid(table, "full ranking, test part")
        return cards.card(self.label, f"run {self.id}", cards.facts(rows), found)

    @property
    def remarks(self) -> Remarks:
        """What people say of it. A file that cannot be read says so in the note: it hurts nothing else."""
        path = self.folder / REMARKS
        if not path.is_file():
            return Remarks()
        try:
            return Remarks.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            return Remarks(note=f"{REMARKS} is damaged ({str(error).splitlines()[0]}).")

    def remark(
        self,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        note: str | None = None,
        archived: bool | None = None,
    ) -> Remarks:
        """Change what is said of it; what is None stays. UserError for a tag that is empty or too long."""
        with locked(self.store.root):
            old = self.remarks
            tags = [t for t in dict.fromkeys([*old.tags, *map(tagged, add)]) if t not in map(tagged, remove)]
            new = Remarks(
                tags=tuple(tags),
                note=old.note if note is None else note.strip()[:LONGEST_NOTE],
                archived=old.archived if archived is None else archived,
            )
            self.store.manifest(self.kind, self.id)  # of a run that is gone nothing is said
            write_json(self.folder / REMARKS, new.model_dump())
        return new

    def write_results(self, per_user: Iterable[pd.DataFrame], top_items: np.ndarray, metrics: Any) -> None:
        """Store the evaluation: the frame of ranks, which may come some rows at a time; the (users, K) top items of the
        test part; the table."""
        with replacing(self.folder / PER_USER) as path:
            rank_file.write(path, per_user)
        with replacing(self.folder / TOP_ITEMS) as path:
            _write_items(path, top_items)
        write_json(self.folder / METRICS, metrics)

    def per_user(
        self, part: str | None = None, protocol: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The frame of ranks: of one part and protocol, and some columns alone, where they are given.

        UserError while the run has no evaluation."""
        path = self.folder / PER_USER
        if not path.is_file():
            raise UserError(f"Run {self.id!r} has no evaluation yet (state {self.status().state}).")
        try:
            return rank_file.read(path, part, protocol, columns)
        except (OSError, ValueError) as error:
            raise UserError(f"Run {self.id!r} is damaged: {PER_USER} cannot be read. Evaluate it again.") from error

    def top_items(self) -> np.ndarray:
        """(U_eval, K) int32 items recommended on the test part, best first, under ``full``; mapped where they are
        many."""
        path = self.folder / TOP_ITEMS
        if not path.is_file():
            raise UserError(f"Run {self.id!r} has no stored recommendations; evaluate it again.")
        try:
            if path.stat().st_size < MAPPED_FROM:
                return np.asarray(load_file(path)["items"])
            header, begin = read_header(path)
            return np.asarray(np.memmap(path, "<i4", mode="c", offset=begin, shape=tuple(header["items"]["shape"])))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(f"Run {self.id!r} is damaged: {TOP_ITEMS} cannot be read. Evaluate it again.") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The stored metric rows of the test part (see ``evaluation.table``)."""
        path = self.folder / METRICS
        if not path.is_file():
            return []
        rows: list[dict[str, Any]] = read_json(path, f"Run {self.id!r}", "Evaluate it again.")
        return rows


class Follower(Run):
    """A run as seen by the processes that help to train it: they read it, and only the first one writes."""

    def set_status(self, status: Status) -> None:
        """Left to the first process, as all that follows."""

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        yield

    def append_event(self, event: Mapping[str, Any]) -> None: ...

    def truncate_events(self, last: int) -> None: ...

    def write_results(self, per_user: Iterable[pd.DataFrame], top_items: np.ndarray, metrics: Any) -> None: ...

    def finish(self, status: Status, timings: dict[str, float], info: dict[str, Any]) -> None: ...


def _write_items(path: Path, items: np.ndarray) -> None:
    """As ``save_file`` does, but without a copy in memory."""
    items = np.ascontiguousarray(items, "<i4")
    told = {"dtype": "I32", "shape": list(items.shape), "data_offsets": [0, items.nbytes]}
    with open(path, "wb") as file:
        file.write(header_bytes({"items": told}))
        items.tofile(file)


def list_runs(store: Store, dataset: str | None = None, *, archived: bool = False) -> list[Run]:
    """Readable runs, newest first; of one dataset id when given. With ``archived``, those that were put away too."""
    manifests = store.list("runs")
    found = [Run(store, m.id) for m in manifests if dataset is None or m.parent("datasets") == dataset]
    return found if archived else [run for run in found if not run.remarks.archived]


def find_run(store: Store, ref: str) -> Run:
    """A run by id, unique prefix or name. UserError when unknown."""
    return Run(store, store.find("runs", ref).id)


def run_folder(path: Path) -> Run:
    """The run that lives in ``path``."""
    return Run(Store.around(path), Path(path).resolve().name)
