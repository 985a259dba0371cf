"""The app's only caches. What is kept is keyed by the artifact root, the artifact's id and the digest of its manifest.

A changed artifact (a moved threshold, a run that finished) is therefore read anew, and two roots in one
process never mix. Large read-only objects are shared between visitors (``cache_resource``): do not change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.config import UNTRAINED
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.data.profile import Profile
from llmesr.data.profile import profile as describe_dataset
from llmesr.data.sources import Source, describe
from llmesr.errors import UserError
from llmesr.evaluation.table import metric_table
from llmesr.jobs.queue import Jobs
from llmesr.runs.record import Run
from llmesr.runs.search import Search
from llmesr.store import MANIFEST, Manifest, Store, file_digest, noun
from llmesr.views.training.estimate import Timing

_QUIET: dict[str, Any] = {"show_spinner": False}


def store() -> Store:
    """The artifact root of this server."""
    return Store()


def jobs(root: Store) -> Jobs:
    """The queue of an artifact root."""
    return Jobs(root)


def digest(root: Store, kind: str, id: str) -> str:
    """What changes whenever an artifact does. UserError when it is not there."""
    path = root.path(kind, id) / MANIFEST
    if not path.is_file():
        raise UserError(f"There is no {noun(kind)} {id!r} any more. Choose another.")
    return file_digest(path)


def manifests(root: Store, kind: str) -> list[Manifest]:
    """Readable artifacts of a kind, newest first; each manifest is parsed once."""
    folder = root.root / kind
    found = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        path = entry / MANIFEST
        if not entry.name.startswith(".") and path.is_file():
            stat = path.stat()
            manifest = _manifest(str(root.root), kind, entry.name, stat.st_mtime_ns, stat.st_size)
            found += [manifest] if manifest else []
    return sorted(found, key=lambda m: m.created, reverse=True)


@st.cache_resource(max_entries=4096, **_QUIET)
def _manifest(root: str, kind: str, id: str, changed: int, size: int) -> Manifest | None:
    try:
        return Store(root).manifest(kind, id)
    except UserError:
        return None  # shown by ``Store.broken``


def dataset(root: Store, id: str) -> Dataset:
    """A dataset, shared: read only."""
    return _dataset(str(root.root), id, digest(root, "datasets", id))


@st.cache_resource(max_entries=6, show_spinner="Reading the dataset …")
def _dataset(root: str, id: str, version: str) -> Dataset:
    return load_dataset(Store(root), id)


def profile(root: Store, id: str, thresholds: Thresholds) -> Profile:
    """The shape of a dataset under a head/tail definition."""
    return _profile(str(root.root), id, digest(root, "datasets", id), thresholds.item, thresholds.user)


@st.cache_data(max_entries=64, **_QUIET)
def _profile(root: str, id: str, version: str, item: int, user: int) -> Profile:
    return describe_dataset(dataset(Store(root), id), Thresholds(item=item, user=user))


def source(path: Path) -> Source:
    """The beginning of an input file: its layout, columns, first rows and guesses. UserError when it is no data."""
    stat = path.stat()
    return _source(str(path), stat.st_mtime_ns, stat.st_size)


@st.cache_resource(max_entries=16, **_QUIET)
def _source(path: str, changed: int, size: int) -> Source:
    return describe(Path(path))


def runs(root: Store, dataset_id: str | None = None, *, finished: bool = False) -> list[Run]:
    """Readable runs, newest first; of one dataset, and only evaluated ones, when asked."""
    found = [Run(root, m.id) for m in manifests(root, "runs") if dataset_id in (None, m.parent("datasets"))]
    return [r for r in found if r.status().state == "SUCCEEDED"] if finished else found


def searches(root: Store, dataset_id: str) -> list[Search]:
    """Searches for settings on a dataset, newest first."""
    return [Search(root, m.id) for m in manifests(root, "searches") if m.parent("datasets") == dataset_id]


def per_user(root: Store, run_id: str) -> pd.DataFrame:
    """The ranks of a run (see ``evaluation.ranks``), shared: read only."""
    return _per_user(str(root.root), run_id, digest(root, "runs", run_id))


@st.cache_resource(max_entries=24, **_QUIET)
def _per_user(root: str, run_id: str, version: str) -> pd.DataFrame:
    return Run(Store(root), run_id).per_user()


def top_items(root: Store, run_id: str) -> np.ndarray:
    """(U_eval, K) recommended items of a run, shared: read only."""
    return _top_items(str(root.root), run_id, digest(root, "runs", run_id))


@st.cache_resource(max_entries=24, **_QUIET)
def _top_items(root: str, run_id: str, version: str) -> np.ndarray:
    return Run(Store(root), run_id).top_items()


def metrics(
    root: Store,
    run_id: str,
    thresholds: Thresholds,
    *,
    protocol: str = "full",
    part: str = "test",
    ks: Sequence[int] = (5, 10, 20),
) -> pd.DataFrame:
    """The metric table of a run under ``thresholds``, made from its ranks: a moved threshold needs no evaluation."""
    key = (thresholds.item, thresholds.user, protocol, part, tuple(ks))
    return _metrics(str(root.root), run_id, digest(root, "runs", run_id), *key)


@st.cache_data(max_entries=256, **_QUIET)
def _metrics(
    root: str, run_id: str, version: str, item: int, user: int, protocol: str, part: Any, ks: tuple[int, ...]
) -> pd.DataFrame:
    frame = per_user(Store(root), run_id)
    return metric_table(frame, Thresholds(item=item, user=user), protocol=protocol, part=part, ks=ks)


def timings(root: Store) -> list[Timing]:
    """What every finished training took: the basis of estimates."""
    found = []
    for manifest in manifests(root, "runs"):
        parent = manifest.parent("datasets")
        if parent and manifest.config.get("method") not in UNTRAINED and "train" in manifest.timings:
            found.append(_timing(str(root.root), manifest.id, parent, digest(root, "runs", manifest.id)))
    return [t for t in found if t is not None]


@st.cache_resource(max_entries=512, **_QUIET)
def _timing(root: str, run_id: str, dataset_id: str, version: str) -> Timing | None:
    run = Run(Store(root), run_id)
    try:
        config = run.config
        seconds = run.events().get("seconds", pd.Series(dtype=float)).median()
        data = dataset(Store(root), dataset_id)
    except UserError:
        return None  # a run of another version, or its dataset is gone
    if not seconds > 0:
        return None
    return Timing(config, len(data.split.train_items), data.n_items, float(seconds), int(run.status().epoch))


def clear() -> None:
    """Forget everything (tests run many apps in one process)."""
    st.cache_data.clear()
    st.cache_resource.clear()
