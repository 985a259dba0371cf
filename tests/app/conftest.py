"""The app as a visitor meets it, without a browser: caches emptied, workers recorded instead of started."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from app_pages import Visit, open_page
from factories import make_dataset, make_embedding, make_standard_runs
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager

from llmesr.data.dataset import load_dataset
from llmesr.jobs.engine import LocalEngine, started_at
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job, typed_step, write_status
from llmesr.runs.record import Run
from llmesr.store import Store, write_json
from llmesr.views.cache.kept import clear


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once() -> Iterator[None]:
    """A server does so as it starts. AppTest does so for every run of a page, which takes longer than most pages."""
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    """Caches outlive an AppTest: start and end without any."""
    clear()
    yield
    clear()


@pytest.fixture(autouse=True)
def listed_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages run through app.py, as ``llmesr app`` starts it; AppTest would take pages/ for the older kind of app."""
    made = PagesManager.__init__

    def init(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        PagesManager.uses_pages_directory = False
        made(self, *args, **kwargs)

    monkeypatch.setattr(PagesManager, "__init__", init)


@pytest.fixture
def visit(store: Store) -> Visit:
    """``visit("training", dataset="shop")`` opens a page of the store of this test."""
    return open_page


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs that would have been started. They count as running: their worker is this very process."""
    found: list[Job] = []
    me, since = os.getpid(), started_at(os.getpid()) or 0.0

    def start(self: LocalEngine, job: Job, slot: str) -> tuple[int, float]:
        found.append(job)
        return me, since

    monkeypatch.setenv("LLMESR_SLOTS", "cpu")
    monkeypatch.setattr(LocalEngine, "start", start)
    monkeypatch.setattr(LocalEngine, "stop", lambda self, status: None)
    monkeypatch.setattr(LocalEngine, "kill", lambda self, status: None)
    return found


@pytest.fixture
def running_job(store: Store, started: list[Job]) -> Callable[..., Job]:
    """``running_job("Train id", parents=[...], run="run-id")``: a job in the middle of its work."""

    def make(label: str = "Train id/sasrec", *, parents: list[str] | None = None, run: str | None = None) -> Job:
        command = ["train", "x", "--run-id", run] if run else ["train", "x"]
        jobs = Jobs(store)
        job = jobs.submit_steps([typed_step(command, label)], kind="train", label=label, parents=parents or [])
        write_status(job.folder, jobs.get(job.id).status.model_copy(update={"begun": [0] if run else []}))
        write_json(job.folder / "progress.json", {"stage": "training", "done": 9, "total": 80, "share": 0.1})
        return jobs.get(job.id)

    return make


@pytest.fixture(scope="module")
def compared_once(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = Store(tmp_path_factory.mktemp("shop"))
    dataset = make_dataset(root, users=150, items=60, seed=1)
    make_embedding(root, dataset)
    return root.root, make_standard_runs(root, dataset, seeds=(42, 43))


@pytest.fixture
def runs(store: Store, compared_once: Any) -> Any:
    """A dataset with text vectors and five methods, the trained ones under two seeds; every test has its own copy."""
    root, made = compared_once
    shutil.copytree(root, store.root, dirs_exist_ok=True)
    return load_dataset(store, "shop"), {name: [Run(store, r.id) for r in group] for name, group in made.items()}
