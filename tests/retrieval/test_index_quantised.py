"""Search by code finds nearly what exact search finds, and what it returns is scored exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clustered import clustered
from factories import make_embedding

from llmesr.config import NeighbourConfig
from llmesr.data.dataset import Dataset
from llmesr.retrieval import index_quantised as module
from llmesr.retrieval.index import nearest
from llmesr.retrieval.index_quantised import Coded, quantised
from llmesr.retrieval.similar import similar_users
from llmesr.store import Store, config_digest

pytest.importorskip("faiss")
N = 3000


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """(N, 24) float32, see :func:`clustered`."""
    rows: np.ndarray = clustered(N).astype(np.float32)
    return rows


def test_it_finds_most_of_what_there_is(vectors: np.ndarray) -> None:
    found = quantised(vectors, 10, recall=0.9)
    known = np.flatnonzero(vectors.any(axis=1))
    rows = vectors[known]
    exact = nearest(rows, rows, 10, self_rows=np.arange(len(known)), engine="torch")
    shared = [len(set(a) & set(known[b])) / 10 for a, b in zip(found.rows[known], exact.rows, strict=True)]
    assert np.mean(shared) > 0.85
    assert abs(found.recall - np.mean(shared)) < 0.05
    assert found.engine == "pq"


def test_what_is_found_is_scored_exactly_and_is_somebody_else(vectors: np.ndarray) -> None:
    found = quantised(vectors, 10)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for row in (0, 10, 1500):
        near = found.rows[row]
        assert row not in near
        np.testing.assert_allclose(found.similarity[row], units[near] @ units[row], atol=1e-5)
        assert (np.diff(found.similarity[row]) <= 0).all()
    assert found.rows[10, 0] == 11
    assert found.rows[11, 0] == 10


def test_who_has_no_vector_has_no_neighbours_and_is_none(vectors: np.ndarray) -> None:
    found = quantised(vectors, 10)
    assert (found.rows[[5, 77]] == -1).all()
    assert (found.similarity[[5, 77]] == 0).all()
    assert not np.isin(found.rows, [5, 77]).any()


def test_half_precision_on_disk_gives_nearly_the_same(vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "half.npy", vectors.astype(np.float16))
    half = quantised(np.load(tmp_path / "half.npy", mmap_mode="r"), 10, recall=0.9)
    np.testing.assert_allclose(half.similarity, quantised(vectors, 10, recall=0.9).similarity, atol=0.05)


def test_no_more_is_searched_than_the_recall_asks_for(vectors: np.ndarray) -> None:
    """Where little is wanted fewer lists are probed and fewer rows are re-scored, and the recall is there all the
    same."""
    least, most = Coded(vectors, 10, recall=0.5, seed=42), Coded(vectors, 10, recall=0.99, seed=42)
    assert least.recall >= 0.5
    assert most.recall >= 0.99
    assert least.index.nprobe < most.index.nprobe
    assert least.shortlist <= most.shortlist
    assert least.recall < most.recall


def test_what_costs_least_is_tried_first(vectors: np.ndarray) -> None:
    coded = Coded(vectors, 10, recall=0.9, seed=42)
    ways = coded._ways(np.arange(100, 200), 8)
    assert ways[0] == (5, 8)
    assert ways[-1] == (16, 32)
    assert len(set(ways)) == len(ways) == 30


def test_the_truth_of_the_sample_is_exact(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks too, the last of which has fewer rows than are wanted."""
    monkeypatch.setattr(module, "_AT_ONCE", 1499)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    asked = np.array([0, 1498, 1499, 2999])
    cosines = units[asked] @ units.T
    cosines[:, [5, 77]] = -np.inf
    cosines[np.arange(4), asked] = -np.inf
    expected = np.sort(cosines, axis=1)[:, ::-1][:, :10]
    np.testing.assert_allclose(module._exact(vectors, asked, 10), expected, atol=1e-6)


def test_fewer_others_than_wanted() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert ((quantised(rows, 30).rows >= 0).sum(1) == 19).all()
    with pytest.raises(ValueError, match="4 rows are too few"):
        quantised(rows[:4], 2)


def test_many_users_are_searched_by_code(tiny: Dataset, store: Store) -> None:
    embedding = make_embedding(store, tiny)
    config = NeighbourConfig(neighbours=5)
    exact = similar_users(tiny, embedding, config, store)
    made_before = config.model_dump(exclude={"quantised_from"})  # the setting came later, the ids stay
    assert exact.id.endswith(config_digest(made_before, tiny.id, embedding.id))
    coded = similar_users(tiny, embedding, config.but(quantised_from=50), store)
    assert (exact.manifest.info["engine"], coded.manifest.info["engine"]) == ("flat", "pq")
    assert exact.id != coded.id
    assert coded.manifest.info["users_without_vector"] == exact.manifest.info["users_without_vector"]
    np.testing.assert_allclose(coded.similarity.mean(), exact.similarity.mean(), atol=0.05)
    assert coded.recall >= 0.95
