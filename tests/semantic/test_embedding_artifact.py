"""The artifact ``embeddings``: aligned with its dataset to the last row, reused, and refused elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_embedder import FakeEmbedder, fake_vector

from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset, load_dataset, write_dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.semantic import embed as module
from llmesr.semantic.embed import default_embedding, embed, load_embedding
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store
from llmesr.text.prompts import item_prompts, user_prompt


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    embedder = FakeEmbedder()
    monkeypatch.setattr(module, "open_embedder", lambda config, store: embedder)
    return embedder


def small(store: Store, name: str = "small", **columns: list[str]) -> Dataset:
    """Users ann [1 2 3 1] (training 1 2), ben [3] (training 3), cat [] and five items, item 5 never chosen."""
    interactions = pd.DataFrame({"user": [0, 0, 0, 0, 1], "item": [1, 2, 3, 1, 3]})
    catalogue = pd.DataFrame({"item_id": list("ABCDE"), "title": ["red a", "red b", "blue c", "blue d", "blue e"]})
    with store.draft("datasets", name, name=name, seed=1) as draft:
        write_dataset(
            draft, interactions=interactions, user_ids=["ann", "ben", "cat"], catalogue=catalogue.assign(**columns)
        )
    return load_dataset(store, name)


def test_every_row_is_its_item_the_last_included(store: Store, fake: FakeEmbedder) -> None:
    dataset = small(store)
    embedding = embed(dataset, EmbedConfig(template="{title}"), store)
    expected = np.stack([fake_vector(t) for t in dataset.catalogue["title"]])
    np.testing.assert_array_equal(embedding.item_vectors, expected)
    np.testing.assert_array_equal(embedding.padded()[1:], expected)
    assert not embedding.padded()[0].any()
    assert embedding.item_ids.tolist() == list("ABCDE")
    assert embedding.item_vectors[2] @ embedding.item_vectors[4] > embedding.item_vectors[1] @ embedding.item_vectors[4]


def test_users_are_the_mean_of_their_training_items(store: Store, fake: FakeEmbedder) -> None:
    embedding = embed(small(store), EmbedConfig(), store)
    items = embedding.item_vectors
    np.testing.assert_allclose(embedding.user_vectors[0], (items[0] + items[1]) / 2, atol=1e-6)  # not item 3, not 1
    np.testing.assert_allclose(embedding.user_vectors[1], items[2], atol=1e-6)
    assert not embedding.user_vectors[2].any()
    assert embedding.manifest.info["users_without_vector"] == 1


def test_users_by_prompt_read_training_titles_only(store: Store, fake: FakeEmbedder) -> None:
    embedding = embed(small(store), EmbedConfig(users="prompt"), store)
    np.testing.assert_array_equal(embedding.user_vectors[0], fake_vector(user_prompt(["red a", "red b"])))
    np.testing.assert_array_equal(embedding.user_vectors[1], fake_vector(user_prompt(["blue c"])))
    assert not embedding.user_vectors[2].any()


def test_user_prompts_fit_the_models_reach(store: Store, fake: FakeEmbedder) -> None:
    fake.reach = len(user_prompt(["red b"]))
    embed(small(store), EmbedConfig(users="prompt"), store)
    assert user_prompt(["red b"]) in fake.asked


def test_items_without_a_title_are_in_no_prompt_of_a_user(store: Store, fake: FakeEmbedder) -> None:
    untitled = small(store, title=["A", "red b", "C", "blue d", "blue e"], brand=["x"] * 5)
    embedding = embed(untitled, EmbedConfig(users="prompt"), store)
    np.testing.assert_array_equal(embedding.user_vectors[0], fake_vector(user_prompt(["red b"])))
    assert embedding.user_vectors.any(axis=1).tolist() == [True, False, False]


def test_made_once(store: Store, fake: FakeEmbedder) -> None:
    dataset = small(store)
    first = embed(dataset, EmbedConfig(), store)
    fake.asked.clear()
    assert embed(dataset, EmbedConfig(), store).id == first.id
    assert fake.asked == []
    assert embed(dataset, EmbedConfig(users="prompt"), store).id != first.id
    assert len(store.list("embeddings")) == 2


def test_other_text_gives_another_artifact_and_embeds_only_what_is_new(store: Store, fake: FakeEmbedder) -> None:
    first = embed(small(store), EmbedConfig(), store)
    fake.asked.clear()
    changed = small(store, title=["red a", "red b", "blue c", "blue d", "green e"])
    second = embed(changed, EmbedConfig(), store)
    assert len(fake.asked) == 1
    assert "green e" in fake.asked[0]
    assert second.id != first.id


def test_items_without_text_are_zero_and_counted(store: Store, fake: FakeEmbedder) -> None:
    embedding = embed(small(store, title=["red a", "", "C", "blue d", "blue e"]), EmbedConfig(), store)
    assert embedding.item_vectors.any(axis=1).tolist() == [True, False, False, True, True]
    assert embedding.manifest.info["items_without_text"] == 2


def test_all_items_without_text(store: Store, fake: FakeEmbedder) -> None:
    with pytest.raises(UserError, match=r"None of the 5 items of 'small' has text \(columns: title\).*item file"):
        embed(small(store, title=[""] * 5), EmbedConfig(), store)
    assert store.list("embeddings") == []


def test_nothing_is_left_behind_when_it_breaks_off(store: Store, fake: FakeEmbedder) -> None:
    fake.fail_after = 4
    with pytest.raises(KeyboardInterrupt):
        embed(small(store), EmbedConfig(), store)
    assert store.list("embeddings") == []
    fake.fail_after = None
    fake.asked.clear()
    embed(small(store), EmbedConfig(), store)
    assert len(fake.asked) == 1


def test_reduced_by_pca(tiny: Dataset, store: Store, fake: FakeEmbedder) -> None:
    whole, reduced = (embed(tiny, EmbedConfig(dimension=d), store) for d in (None, 3))
    assert reduced.item_vectors.shape == (tiny.n_items, 3)
    assert reduced.user_vectors.shape == (tiny.n_users, 3)
    assert 0 < reduced.manifest.info["explained_variance"] < 1
    np.testing.assert_allclose(reduced.item_vectors.mean(0), 0, atol=1e-5)
    assert embed(tiny, EmbedConfig(dimension=500), store).dimension == whole.dimension


def test_texts_that_are_all_one_cannot_be_reduced(store: Store, fake: FakeEmbedder) -> None:
    same = small(store, title=["red", "red", "red", "", "red"])
    with pytest.raises(UserError, match="one and the same vector.*3 dimensions"):
        embed(same, EmbedConfig(dimension=3), store)
    assert embed(same, EmbedConfig(), store).manifest.info["items_without_text"] == 1


def test_other_items_are_refused_by_name(store: Store, fake: FakeEmbedder) -> None:
    embedding = embed(small(store), EmbedConfig(), store)
    other = small(store, "other", item_id=list("ABCED"))
    with pytest.raises(UserError, match=r"row 4 is item 'D' where the dataset has 'E' \(2 of 5 rows differ\)"):
        embedding.check(other)
    with pytest.raises(UserError, match="row 4"):
        load_embedding(store, embedding.id, other)


def test_other_histories_are_refused(store: Store, fake: FakeEmbedder) -> None:
    dataset = small(store)
    embedding = embed(dataset, EmbedConfig(), store)
    moved = replace(dataset, items=np.array([2, 2, 3, 1, 3], np.int32))
    with pytest.raises(UserError, match="other training histories.*llmesr embed small"):
        embedding.check(moved)
    later = replace(dataset, items=np.array([1, 2, 3, 5, 3], np.int32))  # only the test item differs
    embedding.check(later)
    fewer = replace(dataset, offsets=dataset.offsets[:-1], user_ids=dataset.user_ids[:-1])
    with pytest.raises(UserError, match="has 3 users, dataset 'small' has 2"):
        embedding.check(fewer)


def test_default_is_the_newest_of_the_dataset(store: Store, fake: FakeEmbedder) -> None:
    dataset = small(store)
    with pytest.raises(UserError, match="run `llmesr embed small` first"):
        default_embedding(store, dataset)
    embed(dataset, EmbedConfig(), store)
    newest = embed(dataset, EmbedConfig(users="prompt"), store)
    embed(small(store, "other", title=["x y"] * 5), EmbedConfig(), store)
    assert default_embedding(store, dataset).id == newest.id


def test_a_damaged_artifact_is_named(store: Store, fake: FakeEmbedder) -> None:
    embedding = embed(small(store), EmbedConfig(), store)
    (store.path("embeddings", embedding.id) / module.VECTORS).write_bytes(b"garbage")
    with pytest.raises(UserError, match="is damaged"):
        load_embedding(store, embedding.id)


def test_precomputed_vectors_are_joined_to_items(store: Store, tmp_path: Path) -> None:
    dataset = small(store, title=[""] * 5)  # no text is needed
    ids = ["E", "A", "extra", "C", "B", "D"]
    path = write_vectors(tmp_path / "v.parquet", np.stack([fake_vector(i) for i in ids]), ids)
    embedding = embed(dataset, EmbedConfig(embedder=f"file:{path}"), store)
    np.testing.assert_array_equal(embedding.item_vectors, np.stack([fake_vector(i) for i in "ABCDE"]))
    with pytest.raises(UserError, match="users=mean"):
        embed(dataset, EmbedConfig(embedder=f"file:{path}", users="prompt"), store)
    write_vectors(path, np.stack([fake_vector(i) for i in ids[:3]]), ids[:3])
    with pytest.raises(UserError, match="no vector for 3 of 5 items, such as B, C, D"):
        embed(dataset, EmbedConfig(embedder=f"file:{path}"), store)


def test_text_that_tells_separates_topics(store: Store, fake: FakeEmbedder) -> None:
    """The generated marketplace: one brand or category is nearer to itself than to the others."""
    dataset = make(store, name="market", users=40, items=30, seed=3)
    prompts = item_prompts(dataset.catalogue, "{brand} {title}")
    embedding = embed(dataset, EmbedConfig(template="{brand} {title}"), store)
    topics = np.array([p.split()[0] for p in prompts])
    cosine = embedding.item_vectors @ embedding.item_vectors.T
    same = (topics[:, None] == topics) & ~np.eye(len(topics), dtype=bool)
    assert cosine[same].mean() > cosine[topics[:, None] != topics].mean() + 0.5
