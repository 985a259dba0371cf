"""What release 0.1.0 wrote is read by this one: archives of every kind that a run needs, made by it and kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from llmesr import api
from llmesr.data import frame
from llmesr.data.dataset import load_dataset
from llmesr.errors import UserError
from llmesr.maps.make import load_map
from llmesr.retrieval.similar import load_similar
from llmesr.runs.record import Run
from llmesr.semantic.embed import load_embedding
from llmesr.store import KINDS, Store, examine, import_archive, manifest

RELEASE = Path(__file__).with_name("release_0_1_0")


@pytest.fixture
def kept(store: Store) -> Store:
    """A store with all that the release left."""
    for kind in KINDS:
        for archive in sorted(RELEASE.glob(f"{kind}-*.tar.gz")):
            import_archive(store, archive)
    return store


def test_everything_is_whole_and_can_be_opened(kept: Store) -> None:
    assert examine(kept) == []
    (data,) = (load_dataset(kept, id) for id in kept.ids("datasets"))
    (vectors,) = (load_embedding(kept, id, data) for id in kept.ids("embeddings"))
    (near,) = (load_similar(kept, id) for id in kept.ids("neighbours"))
    (drawn,) = (load_map(kept, id) for id in kept.ids("maps"))
    assert (data.n_users, data.n_items, vectors.dimension) == (len(near.users), len(drawn.points), 8)


def test_its_datasets_are_mapped_as_any_other(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    id = kept.ids("datasets")[0]
    read = load_dataset(kept, id)
    monkeypatch.setattr(frame, "MAPPED_FROM", 0)
    mapped = load_dataset(kept, id)
    assert isinstance(mapped.items.base, np.memmap)
    np.testing.assert_array_equal(mapped.items, read.items)
    np.testing.assert_array_equal(mapped.offsets, read.offsets)
    pd.testing.assert_frame_equal(mapped.catalogue, read.catalogue)
    assert examine(kept) == []


def test_its_runs_are_compared_and_recommend(kept: Store) -> None:
    runs = [Run(kept, id) for id in kept.ids("runs")]
    assert sorted(run.label for run in runs) == ["llm-esr/sasrec", "popularity"]
    compared = api.compare(runs, store=kept)
    assert set(compared.summary["run"]) == {run.label for run in runs}
    data = load_dataset(kept, kept.ids("datasets")[0])
    trained = next(run for run in runs if run.label == "llm-esr/sasrec")
    assert len(api.recommend(trained, history=data.catalogue["item_id"][:2], k=3)) == 3


def test_a_manifest_of_a_version_before_is_migrated_as_it_is_read(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "schema_version": 2, "name": values["name"].upper()}

    kept = Store(shutil.copytree(kept.root, tmp_path / "found"))  # as a new process finds it: nothing read yet
    id = kept.ids("datasets")[0]
    monkeypatch.setitem(manifest.MIGRATIONS, "1", renamed)
    monkeypatch.setattr("llmesr.store.shelf.SCHEMA_VERSION", 2)
    assert (kept.manifest("datasets", id).schema_version, kept.manifest("datasets", id).name) == (2, "SHOP")
    monkeypatch.setattr("llmesr.store.shelf.SCHEMA_VERSION", 3)
    with pytest.raises(UserError, match="has schema version 2; this version of llmesr reads 3 and older"):
        kept.manifest("datasets", id)
