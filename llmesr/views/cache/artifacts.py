"""Artifacts as pages read them: manifests, datasets, runs and their ranks, what trainings took."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmesr.config import EXTERNAL, IngestConfig, has_backbone
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.data.look import look
from llmesr.data.profile import Profile
from llmesr.data.profile import profile as describe_dataset
from llmesr.data.sources import Source
from llmesr.data.splitting import siblings as find_siblings
from llmesr.errors import UserError
from llmesr.jobs.queue import Jobs
from llmesr.runs.estimate import Timing
from llmesr.runs.record import REMARKS, Run
from llmesr.runs.search import Search
from llmesr.store import Manifest, Store
from llmesr.views.cache.kept import digests, file_state, kept
from llmesr.visitors import private_allowed


def store() -> Store:
    """The artifact root of this server."""
    return Store()


def jobs(root: Store) -> Jobs:
    """The queue of an artifact root, for what visitors begin."""
    return Jobs(root, public_only=not private_allowed())


def manifests(root: Store, kind: str) -> list[Manifest]:
    """Readable artifacts of a kind, newest first."""
    return list(_manifests(root, kind))


def all_as_written(root: Store, kind: str) -> Hashable:
    """A number that changes whenever an artifact of a kind does: a page asks a dozen times, and there may be
    thousands."""
    return hash(tuple((id, root.stamp(kind, id)) for id in root.ids(kind)))


@kept(all_as_written, entries=32)
def _manifests(root: Store, kind: str) -> tuple[Manifest, ...]:
    found = []
    for id in root.ids(kind):
        with contextlib.suppress(UserError):  # shown by ``Store.broken``
            found.append(root.manifest(kind, id))
    return tuple(sorted(found, key=lambda m: m.created, reverse=True))


@kept(digests(id="datasets"), entries=6, spinner="Reading the dataset …")
def dataset(root: Store, id: str) -> Dataset:
    """A dataset, shared: read only."""
    return load_dataset(root, id)


@kept(digests(id="datasets"), entries=64, copies=True)
def profile(root: Store, id: str, thresholds: Thresholds) -> Profile:
    """The shape of a dataset under a head/tail definition."""
    return describe_dataset(dataset(root, id), thresholds)


@kept(file_state, entries=16)
def source(path: Path, written: tuple[tuple[str, Any], ...] = ()) -> Source:
    """The beginning of an input file: its layout, columns, first rows and guesses. UserError when it is no data.

    ``written``: settings of ``IngestConfig`` that say how it is written, such as its encoding.
    """
    return look(path, IngestConfig.read(None, name="preview", **dict(written)))


def runs(root: Store, dataset_id: str | None = None, *, finished: bool = False, archived: bool = False) -> list[Run]:
    """Readable runs, newest first; of one dataset, and only evaluated ones, when asked. Those that were put away are
    left out, unless they are asked for."""
    found = [Run(root, m.id) for m in manifests(root, "runs") if dataset_id in (None, m.parent("datasets"))]
    found = [r for r in found if archived or root.stamp("runs", r.id, REMARKS) is None or not r.remarks.archived]
    return [r for r in found if r.status().state == "SUCCEEDED"] if finished else found


def siblings(root: Store, dataset_id: str) -> list[Manifest]:
    """The datasets of the same data, one for each split (see :func:`data.splitting.siblings`)."""
    return list(find_siblings(root, dataset_id))


def runs_of_data(root: Store, dataset_id: str) -> dict[str, tuple[str, ...]]:
    """Dataset id -> the ids of its evaluated runs, for every split of the data."""
    ids = [m.id for m in siblings(root, dataset_id)]
    return {id: tuple(r.id for r in runs(root, id, finished=True)) for id in ids}


def searches(root: Store, dataset_id: str) -> list[Search]:
    """Searches for settings on a dataset, newest first."""
    return [Search(root, m.id) for m in manifests(root, "searches") if m.parent("datasets") == dataset_id]


@kept(digests(run_id="runs"), entries=24)
def per_user(root: Store, run_id: str) -> pd.DataFrame:
    """The ranks of the test part of a run (see ``evaluation.ranks``), shared: read only."""
    return Run(root, run_id).per_user("test")


@kept(digests(run_id="runs"), entries=24)
def top_items(root: Store, run_id: str) -> np.ndarray:
    """(U_eval, K) recommended items of a run, shared: read only."""
    return Run(root, run_id).top_items()


def timings(root: Store) -> list[Timing]:
    """What every finished training took: the basis of estimates."""
    runs = (m for m in manifests(root, "runs") if "train" in m.timings)
    trained = (m for m in runs if has_backbone(m.config.get("method", EXTERNAL)))
    found = (_timing(root, m.id, parent) for m in trained if (parent := m.parent("datasets")))
    return [t for t in found if t is not None]


@kept(digests(run_id="runs"), entries=512)
def _timing(root: Store, run_id: str, dataset_id: str) -> Timing | None:
    run = Run(root, run_id)
    try:
        config = run.config
        seconds = run.events().get("seconds", pd.Series(dtype=float)).median()
        data = dataset(root, dataset_id)
    except UserError:
        return None  # a run of another version, or its dataset is gone
    if not seconds > 0:
        return None
    return Timing(config, len(data.split.train_items), data.n_items, float(seconds), int(run.status().epoch))
