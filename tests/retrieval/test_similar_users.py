from __future__ import annotations

import mmap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from llmesr.config import NeighbourConfig
from llmesr.data import row_file
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.errors import UserError
from llmesr.retrieval.similar import NEIGHBOURS, load_similar, similar_users
from llmesr.semantic.embed import ITEM_IDS, VECTORS, Embedding, histories_digest, load_embedding
from llmesr.store import Store


def shop(store: Store) -> Dataset:
    """Six users with one training item each, but the last with none."""
    interactions = pd.DataFrame({"user": range(5), "item": [1, 2, 3, 1, 2]})
    catalogue = pd.DataFrame({"item_id": list("ABC"), "title": ["a", "b", "c"]})
    with store.draft("datasets", "shop", name="shop", seed=1) as draft:
        write_dataset(draft, interactions=interactions, user_ids=list("uvwxyz"), catalogue=catalogue)
    return load_dataset(store, "shop")


def embedded(store: Store, dataset: Dataset, id: str = "shop-vectors", turn: float = 0.0) -> Embedding:
    """Items at 0, 30 and 90 degrees: u and x choose A, v and y choose B, w chooses C, z nothing."""
    angles = np.deg2rad(np.array([0, 30, 90]) + turn)
    items = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    users = np.concatenate([items[[0, 1, 2, 0, 1]], np.zeros((1, 2), np.float32)])
    with store.draft("embeddings", id, name=id, parents=[dataset.manifest]) as draft:
        draft.manifest.info = {"fingerprint": "angles", "histories": histories_digest(dataset)}
        save_file({"items": items, "users": users}, draft.path / VECTORS)
        pd.DataFrame({"item_id": list("ABC")}).to_parquet(draft.path / ITEM_IDS, index=False)
    return load_embedding(store, id)


def is_mapped(array: np.ndarray | None) -> bool:
    """Whether its numbers lie in a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_by_hand(store: Store) -> None:
    dataset = shop(store)
    similar = similar_users(dataset, embedded(store, dataset), NeighbourConfig(neighbours=3), store)
    assert similar.users.dtype == np.int32
    assert similar.users[0].tolist()[0] == 3  # the other who chose A
    assert set(similar.users[0].tolist()[1:]) == {1, 4}
    np.testing.assert_allclose(similar.similarity[0], [1, np.sqrt(3) / 2, np.sqrt(3) / 2], atol=1e-6)
    assert set(similar.users[2].tolist()[:2]) == {1, 4}  # 60 degrees away; A is at 90
    assert similar.recall == 1.0


def test_a_user_without_training_items_is_near_to_nobody(store: Store) -> None:
    dataset = shop(store)
    similar = similar_users(dataset, embedded(store, dataset), NeighbourConfig(neighbours=10), store)
    assert (similar.users[5] == -1).all()
    assert 5 not in similar.users
    assert (similar.users[:5, :4] >= 0).all()
    assert (similar.users[:5, 4:] == -1).all()
    assert similar.manifest.info["users_without_vector"] == 1


def test_nobody_is_his_own_neighbour(tiny: Dataset, store: Store) -> None:
    vectors = np.tile(np.eye(4, 3, dtype=np.float32) + 0.1, (tiny.n_users, 1))[: tiny.n_users]  # many equal users
    with store.draft("embeddings", "e", name="e", parents=[tiny.manifest]) as draft:
        draft.manifest.info = {"fingerprint": "f", "histories": histories_digest(tiny)}
        save_file({"items": np.ones((tiny.n_items, 3), np.float32), "users": vectors}, draft.path / VECTORS)
        tiny.catalogue[["item_id"]].to_parquet(draft.path / ITEM_IDS, index=False)
    similar = similar_users(tiny, load_embedding(store, "e"), NeighbourConfig(neighbours=20), store)
    assert (similar.users != np.arange(tiny.n_users)[:, None]).all()
    assert (similar.users >= 0).all()
    assert all(len(set(row)) == 20 for row in similar.users.tolist())


def test_made_once_per_setting_and_embedding(store: Store) -> None:
    dataset = shop(store)
    config = NeighbourConfig(neighbours=2)
    first = similar_users(dataset, embedded(store, dataset), config, store)
    again = similar_users(dataset, load_embedding(store, "shop-vectors"), config, store)
    assert again.manifest.created == first.manifest.created
    assert similar_users(dataset, load_embedding(store, "shop-vectors"), config.but(metric="dot"), store).id != first.id
    other = similar_users(dataset, embedded(store, dataset, "other", turn=10), config, store)
    assert other.id != first.id
    remade = embedded(store, dataset)  # the same id, another time: what was found before is not trusted
    assert similar_users(dataset, remade, config, store).manifest.created != first.manifest.created


def test_metrics_differ(store: Store) -> None:
    dataset = shop(store)
    embedding = embedded(store, dataset)
    longer = replace(embedding, user_vectors=embedding.user_vectors * np.array([1, 9, 1, 1, 1, 1], np.float32)[:, None])
    found = {
        m: similar_users(dataset, longer, NeighbourConfig(neighbours=1, metric=m), store).users[0, 0]
        for m in ("cosine", "dot", "euclidean")
    }
    assert found == {"cosine": 3, "dot": 1, "euclidean": 3}


def test_another_datasets_embedding_is_refused(tiny: Dataset, store: Store) -> None:
    dataset = shop(store)
    with pytest.raises(UserError, match="3 item rows, but the dataset has"):
        similar_users(tiny, embedded(store, dataset), NeighbourConfig(), store)


def test_loading(store: Store) -> None:
    dataset = shop(store)
    made = similar_users(dataset, embedded(store, dataset), NeighbourConfig(neighbours=2), store)
    np.testing.assert_array_equal(load_similar(store, made.id).users, made.users)
    assert {p.kind for p in made.manifest.parents} == {"datasets", "embeddings"}
    (store.path("neighbours", made.id) / NEIGHBOURS).write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        load_similar(store, made.id)


def test_many_are_mapped_and_stay_when_their_file_is_replaced_or_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, config = shop(store), NeighbourConfig(neighbours=2)
    small = similar_users(dataset, embedded(store, dataset), config, store)
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0)
    large = load_similar(store, small.id)
    assert is_mapped(large.users)
    assert is_mapped(large.similarity)
    with store.draft("neighbours", small.id, name="another", parents=[dataset.manifest]) as draft:
        nobody = {"users": np.full_like(small.users, -1), "similarity": np.zeros_like(small.similarity)}
        save_file(nobody, draft.path / NEIGHBOURS)
    assert (load_similar(store, small.id).users == -1).all()
    store.delete("neighbours", small.id)
    np.testing.assert_array_equal(large.users, small.users, strict=True)
    np.testing.assert_array_equal(large.similarity, small.similarity, strict=True)


def test_many_that_are_damaged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = shop(store)
    made = similar_users(dataset, embedded(store, dataset), NeighbourConfig(neighbours=2), store)
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0)
    path = store.path("neighbours", made.id) / NEIGHBOURS
    whole = path.read_bytes()
    for damage in (b"x", whole[:-1], whole[:40], whole.replace(b"users", b"useds")):
        path.write_bytes(damage)
        with pytest.raises(UserError, match="damaged"):
            load_similar(store, made.id)
