"""Signal is learned and noise is not: the strongest cheap check of a model."""

from __future__ import annotations

import numpy as np
import pytest

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.evaluation.table import quick_metrics, select
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training.train import train


def topic_vectors(data: Dataset, store: Store, path: str) -> Embedding:
    """A fake text encoder: words as directions plus hash noise, so a misaligned row shows."""
    words: dict[str, np.ndarray] = {}

    def direction(word: str) -> np.ndarray:
        if word not in words:
            words[word] = np.random.default_rng(abs(hash_of(word))).normal(size=32)
        return words[word]

    texts = data.catalogue[data.text_columns].agg(" ".join, axis=1)
    rows = np.stack([sum(direction(w) for w in text.lower().split()) for text in texts])
    np.savez(path, item_ids=data.catalogue["item_id"].to_numpy(str), vectors=rows.astype(np.float32))
    return embed(data, EmbedConfig(embedder=f"file:{path}"), store)


def hash_of(word: str) -> int:
    import zlib

    return zlib.crc32(word.encode())


def tail_hit_rate(method: str, data: Dataset, vectors: Embedding, store: Store) -> tuple[float, float]:
    """HR@10 among 100 negatives on tail items, and how many users that is."""
    config = RunConfig(method=method, embedding_size=32, epochs=15, batch_size=64, dropout=0.1)
    run = train(data, config, store, embedding=vectors)
    frame = run.per_user()
    test = frame[frame["part"] == "test"]
    tail = data.thresholds.tail_items(select(test, "uni100")["target_popularity"])
    return quick_metrics(test, data.thresholds, "HR@10", "Tail Item", "uni100"), float(tail.sum())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adapter", "llm-esr", "semantic-knn"])
def test_tail_items_gain_from_text_that_tells_and_only_from_that(method: str, store: Store, tmp_path: object) -> None:
    found = {}
    for signal in (1.0, 0.0):
        data = make(store, name=f"signal-{signal:.0f}", users=800, items=300, seed=3, signal=signal)
        vectors = topic_vectors(data, store, f"{tmp_path}/{signal}.npz")
        found[signal], users = tail_hit_rate(method, data, vectors, store)
        assert users > 100
    chance = 10 / 101
    spread = 3 * (chance * (1 - chance) / 100) ** 0.5
    assert found[1.0] > chance + spread
    assert found[1.0] > 2 * found[0.0]
    assert found[0.0] < chance + spread


@pytest.mark.slow
def test_a_markov_chain_is_learned(store: Store) -> None:
    """Item i is always followed by i + 1: a sequence model must see it, popularity cannot."""
    import pandas as pd

    from llmesr.data.dataset import load_dataset, write_dataset

    items, users = 20, 60
    rows = [(u, (u + step) % items + 1) for u in range(users) for step in range(8)]
    with store.draft("datasets", "chain", name="chain", seed=1) as draft:
        write_dataset(
            draft,
            interactions=pd.DataFrame(rows, columns=["user", "item"]),
            user_ids=[f"u{n}" for n in range(users)],
            catalogue=pd.DataFrame({"item_id": [f"i{n}" for n in range(items)], "title": "x"}),
        )
    data = load_dataset(store, "chain")
    for backbone in ("sasrec", "gru4rec", "bert4rec"):
        config = RunConfig(
            method="id", backbone=backbone, embedding_size=16, epochs=60, patience=60, batch_size=20, dropout=0.0,
            learning_rate=0.01, max_length=8,
        )  # fmt: skip
        frame = train(data, config, store).per_user()
        test = frame[frame["part"] == "test"]
        assert quick_metrics(test, data.thresholds, "HR@1", "Overall", "full") > 0.8, backbone
