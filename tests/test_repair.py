"""What is damaged is made whole where that can be, put aside where nobody can read it, and never deleted."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import corrupt, make_run, make_search

from llmesr import api
from llmesr.config import EmbedConfig, NeighbourConfig
from llmesr.data.dataset import Dataset
from llmesr.jobs.queue import Jobs
from llmesr.maps.make import make_map
from llmesr.maps.projection import MapConfig
from llmesr.remote import Remote
from llmesr.repair import _MAKERS, TO_DO, Outcome, put_jobs_aside, repair
from llmesr.retrieval.similar import similar_users
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import KINDS, MANIFEST, STATUS, Store, examine


def test_every_kind_has_a_remedy() -> None:
    assert set(TO_DO) == set(KINDS)


def mended(store: Store, copies: Remote | None = None) -> list[Outcome]:
    return repair(store, examine(store), copies)


def quarantined(store: Store) -> list[str]:
    return sorted(p.name.rpartition(".")[0] for p in (store.root / "quarantine").glob("*/*"))


@pytest.fixture
def vectors(tiny: Dataset, store: Store, tmp_path: Path) -> Embedding:
    """An embedding that is made without a language model."""
    numbers = np.random.default_rng(0).normal(size=(tiny.n_items, 8)).astype(np.float32)
    file = write_vectors(tmp_path / "vectors.npz", numbers, tiny.catalogue["item_id"].tolist())
    return embed(tiny, EmbedConfig(embedder=f"file:{file}"), store)


def test_what_was_made_from_others_is_made_again(tiny: Dataset, store: Store, vectors: Embedding) -> None:
    near = similar_users(tiny, vectors, NeighbourConfig(neighbours=3), store)
    drawn = make_map(tiny, [f"embedding:{vectors.id}"], MapConfig(umap=False), store)
    corrupt(store, "embeddings", vectors.id, "vectors")
    corrupt(store, "neighbours", near.id, "neighbours")
    corrupt(store, "maps", drawn.id, "points")
    outcomes = mended(store)
    assert [(o.kind, o.whole) for o in outcomes] == [("embeddings", True), ("neighbours", True), ("maps", True)]
    assert all("It was made again; the damaged one lies in" in o.what for o in outcomes[:2])
    (again,) = store.ids("maps")
    assert f"It was made again as maps/{again}; the damaged" in outcomes[2].what  # its embedding is not the same one
    assert [f for f in examine(store) if f.damaged] == []
    assert quarantined(store) == sorted([vectors.id, near.id, drawn.id])


def test_a_run_is_evaluated_again_with_the_model_it_has(tiny: Dataset, store: Store) -> None:
    run = api.train(tiny, method="item-knn", store=store)
    before = run.per_user()
    corrupt(store, "runs", run.id, "per_user")
    (outcome,) = mended(store)
    assert (outcome.whole, outcome.what) == (True, "It was evaluated again with the model it has.")
    assert run.per_user().equals(before)
    assert mended(store) == []


def test_a_lost_status_is_told_by_the_manifest(tiny: Dataset, store: Store) -> None:
    done = make_run(store, tiny, "id")
    begun = Run.create(store, done.config, [tiny.manifest], name="begun", device="cpu")
    for run in (done, begun):
        corrupt(store, "runs", run.id, STATUS)
        assert run.status().state == "FAILED"
    assert all(o.whole for o in mended(store))
    assert (done.status().state, begun.status().state) == ("SUCCEEDED", "STOPPED")
    assert f"`llmesr resume {begun.id}` goes on with it" in begun.status().message


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_is_made_again_survives_a_kill(moment: str, tiny: Dataset, store: Store, vectors: Embedding) -> None:
    corrupt(store, "embeddings", vectors.id, "vectors")
    if (child := os.fork()) == 0:
        real = _MAKERS["embeddings"]

        def killed(*given: Any) -> str:
            if moment == "after":
                real(*given)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(_MAKERS, "embeddings", killed)
            mended(store)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [o.whole for o in mended(store)] == ([True] if moment == "before" else [])
    assert [f for f in examine(store) if f.damaged] == []
    assert quarantined(store) == [vectors.id]
    assert not [p.name for p in (store.root / "embeddings").iterdir() if p.name.startswith(".")]


def test_what_nobody_can_read_is_put_aside_and_kept(tiny: Dataset, store: Store) -> None:
    run = make_run(store, tiny, "id")
    corrupt(store, "runs", run.id)
    (outcome,) = mended(store)
    assert not outcome.whole
    aside = Path(outcome.what.partition("lies in ")[2].removesuffix(" now."))
    assert (aside / MANIFEST).read_bytes().startswith(b"\x00not what it was")
    assert store.ids("runs") == []
    assert examine(store) == []


def test_what_cannot_be_made_again_stays_and_is_told(tiny: Dataset, store: Store) -> None:
    corrupt(store, "datasets", tiny.id, "items")
    (outcome,) = mended(store)
    assert not outcome.whole
    assert "It stays as it is: items.parquet cannot be made again" in outcome.what
    assert "read its files again" in outcome.what
    assert store.ids("datasets") == [tiny.id]
    assert quarantined(store) == []


def test_whole_copies_come_back_also_where_others_were_made_from_it(
    tiny: Dataset, store: Store, tmp_path: Path
) -> None:
    run = make_run(store, tiny, "id")
    remote = Remote(f"file://{tmp_path}/remote")
    remote.push(store, "runs", run.id)
    for how in ("items", "manifest"):
        corrupt(store, "datasets", tiny.id, how)
        (outcome,) = mended(store, remote)
        assert outcome.whole
        assert "It was brought back from file://" in outcome.what
        assert examine(store) == []
    assert quarantined(store) == [tiny.id, tiny.id]


def test_a_copy_that_is_damaged_itself_leaves_all_as_it_is(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    remote = Remote(f"file://{tmp_path}/remote")
    remote.push(store, "datasets", tiny.id)
    (tmp_path / "remote" / "datasets" / tiny.id / "items.parquet").write_bytes(b"x")
    corrupt(store, "datasets", tiny.id, "items")
    (outcome,) = mended(store, remote)
    assert not outcome.whole
    assert "It stays as it is" in outcome.what
    assert store.ids("datasets") == [tiny.id]


def test_nothing_is_done_to_what_is_being_worked_on(tiny: Dataset, store: Store) -> None:
    run = make_run(store, tiny, "id")
    with store.hold("runs", run.id):
        corrupt(store, "runs", run.id)
        (outcome,) = mended(store)
    assert outcome.what == "It is being worked on, so nothing was done."
    assert store.ids("runs") == [run.id]


def test_jobs_nobody_can_read_are_put_aside(store: Store) -> None:
    folder = store.work_folder("jobs") / "train-123456"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{")
    (outcome,) = put_jobs_aside(Jobs(store))
    assert "It cannot be read" in outcome.what
    assert Jobs(store).broken() == {}
    assert (store.root / "quarantine" / "jobs").is_dir()


def test_a_search_says_how_to_go_on(tiny: Dataset, store: Store) -> None:
    search = make_search(store, tiny)
    corrupt(store, "searches", search.id, "events")
    (outcome,) = mended(store)
    assert (outcome.whole, "search again" in outcome.what) == (False, True)
