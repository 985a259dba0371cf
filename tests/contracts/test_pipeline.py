"""Every method x backbone x embedder x index: from item text to a sealed run with ranks of every user."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tiny_models import write_decoder, write_encoder

from llmesr.config import EmbedConfig, NeighbourConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.encoders import ENCODERS
from llmesr.methods import METHODS
from llmesr.retrieval.similar import SimilarUsers, similar_users
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training.train import train

EMBEDDERS = ("encoder", "decoder", "file")
INDEXES = {"exact": 50_000, "approximate": 1}
"""Kind of index -> the number of users up to which it is exact."""
TINY: dict[str, Any] = {"embedding_size": 8, "epochs": 1, "max_length": 8, "batch_size": 64}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Dataset, dict[str, Embedding]]:
    """One dataset with its text read by each kind of embedder."""
    folder = tmp_path_factory.mktemp("pipeline")
    store = Store(folder / "artifacts")
    data = make(store, name="tiny", users=120, items=60, seed=1)
    texts = data.catalogue["title"].tolist()
    vectors = np.random.default_rng(0).normal(size=(data.n_items, 12)).astype(np.float32)
    np.savez(folder / "vectors.npz", item_ids=data.catalogue["item_id"].to_numpy(str), vectors=vectors)
    names = {
        "encoder": f"hf:{write_encoder(folder / 'encoder', texts)}",
        "decoder": f"hf:{write_decoder(folder / 'decoder', texts)}",
        "file": f"file:{folder / 'vectors.npz'}",
    }
    return store, data, {kind: embed(data, EmbedConfig(embedder=name), store) for kind, name in names.items()}


def neighbours(index: str, data: Dataset, vectors: Embedding, store: Store) -> SimilarUsers:
    return similar_users(data, vectors, NeighbourConfig(neighbours=10, exact_up_to=INDEXES[index]), store)


@pytest.mark.parametrize(
    ("method", "backbone", "embedder", "index"), list(itertools.product(METHODS, ENCODERS, EMBEDDERS, INDEXES))
)
def test_from_text_to_ranks(
    method: str, backbone: str, embedder: str, index: str, prepared: tuple[Store, Dataset, dict[str, Embedding]]
) -> None:
    store, data, embeddings = prepared
    vectors = embeddings[embedder]
    extra: dict[str, Any] = {"alignment_weight": 0.0} if method == "llmemb" else {}
    if method == "language" and embedder == "file":  # such vectors do not say what could read histories
        extra = {"language_model": embeddings["encoder"].manifest.config["embedder"]}
    config = RunConfig.read(None, method=method, backbone=backbone, **TINY, **extra)
    run = train(data, config, store, embedding=vectors, similar=neighbours(index, data, vectors, store))
    assert run.status().state == "SUCCEEDED"
    frame = run.per_user()
    test = frame[frame["part"] == "test"]
    assert sorted(test["protocol"].unique()) == ["full", "uni100"]
    assert (test.groupby("protocol", observed=True)["user"].nunique() == (data.lengths >= 3).sum()).all()
    assert (test["rank"] >= 1).all()
    assert (test["rank"] <= test["candidates"]).all()
    assert run.manifest.parent("datasets") == data.id
    assert run.manifest.parent("embeddings") == (vectors.id if method != "id" else None)


def test_indexes_agree_on_who_is_similar(prepared: tuple[Store, Dataset, dict[str, Embedding]]) -> None:
    store, data, embeddings = prepared
    for vectors in embeddings.values():
        exact, approximate = (neighbours(kind, data, vectors, store).users for kind in INDEXES)
        shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, approximate, strict=True)])
        assert shared >= 0.9


def test_llmemb_aligns_to_a_run_it_makes_itself(prepared: tuple[Store, Dataset, dict[str, Embedding]]) -> None:
    store, data, embeddings = prepared
    run = train(data, RunConfig.read(None, method="llmemb", **TINY), store, embedding=embeddings["decoder"])
    assert run.config.alignment_run is not None
    assert store.manifest("runs", run.config.alignment_run).config["method"] == "id"
