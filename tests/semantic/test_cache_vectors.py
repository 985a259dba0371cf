from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_embedder import FakeEmbedder, fake_vector

from llmesr.errors import UserError
from llmesr.semantic.cache import VectorCache, embed_cached, text_key, uncached
from llmesr.store import Store

TEXTS = [f"topic{i % 3} text {i}" for i in range(20)]


def test_only_new_texts_are_embedded(store: Store) -> None:
    embedder = FakeEmbedder()
    embed_cached(embedder, TEXTS[:12], store)
    embedder.asked.clear()
    vectors = embed_cached(embedder, TEXTS, store)
    assert sorted(embedder.asked) == sorted(TEXTS[12:])
    np.testing.assert_array_equal(vectors, np.stack([fake_vector(t) for t in TEXTS]))


def test_a_killed_run_keeps_what_it_had(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed_cached(FakeEmbedder(fail_after=8), TEXTS, store)
    again = FakeEmbedder()
    vectors = embed_cached(again, TEXTS, store)
    assert len(again.asked) == len(TEXTS) - 8
    np.testing.assert_array_equal(vectors, np.stack([fake_vector(t) for t in TEXTS]))


def test_equal_texts_are_embedded_once(store: Store) -> None:
    embedder = FakeEmbedder()
    vectors = embed_cached(embedder, ["a", "b", "a"], store)
    assert sorted(embedder.asked) == ["a", "b"]
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_fingerprints_do_not_share(store: Store) -> None:
    embed_cached(FakeEmbedder(dimension=8), TEXTS, store)
    assert embed_cached(FakeEmbedder(dimension=4), TEXTS, store).shape == (20, 4)


def test_uncached_counts_each_text_once(store: Store) -> None:
    embedder = FakeEmbedder()
    embed_cached(embedder, TEXTS[:5], store)
    assert uncached(embedder, [*TEXTS, TEXTS[-1]], store) == TEXTS[5:]


def test_no_texts(store: Store) -> None:
    assert embed_cached(FakeEmbedder(), [], store).shape == (0, 8)


def test_nan_from_a_model_is_refused_and_not_kept(store: Store) -> None:
    class Broken(FakeEmbedder):
        def stream(self, texts: Any) -> Iterator[Any]:
            for rows, vectors in super().stream(texts):
                vectors[0, 0] = np.nan
                yield rows, vectors

    with pytest.raises(UserError, match="NaN"):
        embed_cached(Broken(), TEXTS, store)
    assert uncached(FakeEmbedder(), TEXTS, store) == TEXTS


def test_a_changed_size_is_refused(store: Store) -> None:
    with VectorCache(store, "fake8") as cache:
        cache.write([text_key(TEXTS[0])], np.zeros((1, 5), np.float32))
    with pytest.raises(UserError, match="different sizes"):
        embed_cached(FakeEmbedder(), TEXTS, store)


def test_a_damaged_file_is_named(store: Store) -> None:
    path = store.root / "cache" / "vectors" / "fake8.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"fake8\.sqlite is damaged"):
        embed_cached(FakeEmbedder(), TEXTS, store)


def test_a_file_damaged_in_its_midst_is_named(store: Store) -> None:
    embed_cached(FakeEmbedder(), TEXTS * 20 + [f"more {i}" for i in range(4_000)], store)
    path = store.work_folder("cache") / "vectors" / "fake8.sqlite"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"fake8\.sqlite is damaged"):
        embed_cached(FakeEmbedder(), TEXTS, store)


def test_a_vector_of_half_a_number_is_named(store: Store) -> None:
    embed_cached(FakeEmbedder(), TEXTS, store)
    path = store.work_folder("cache") / "vectors" / "fake8.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("UPDATE vectors SET vector = x'010203'")
    with pytest.raises(UserError, match=r"fake8\.sqlite is damaged"):
        embed_cached(FakeEmbedder(), TEXTS, store)


def test_two_writers_share_a_file(store: Store) -> None:
    with VectorCache(store, "x") as one, VectorCache(store, "x") as two:
        one.write([b"a"], np.ones((1, 2), np.float32))
        two.write([b"b"], np.zeros((1, 2), np.float32))
        assert one.held([b"a", b"b", b"c"]) == {b"a", b"b"}
