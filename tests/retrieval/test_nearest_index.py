"""One contract over every engine, against a brute-force table."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.retrieval import exact, index
from llmesr.retrieval.index import Engine, Metric, Nearest, found_share, nearest

ENGINES: tuple[Engine, ...] = ("flat", "torch", "ivf")
METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclidean")


def brute(vectors: np.ndarray, queries: np.ndarray, metric: Metric) -> np.ndarray:
    """(q, n) similarities in float64."""
    a, b = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        distances: np.ndarray = np.sqrt(((b[:, None] - a[None]) ** 2).sum(2))
        return -distances
    if metric == "cosine":
        a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    return b @ a.T


def cloud(n: int, seed: int = 0, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 2], [3, 0], [1, 1]], np.float32)
    query = np.array([[2, 0]], np.float32)
    cosine = nearest(vectors, query, 3, "cosine", engine="flat")
    assert set(cosine.rows[0, :2].tolist()) == {0, 2}
    np.testing.assert_allclose(cosine.similarity[0], [1, 1, 0.7071], atol=1e-4)
    dot = nearest(vectors, query, 2, "dot", engine="flat")
    assert dot.rows.tolist()[0][0] == 2
    assert dot.similarity.tolist() == [[6, 2]]
    euclidean = nearest(vectors, query, 4, "euclidean", engine="flat")
    np.testing.assert_allclose(euclidean.similarity[0], [-1, -1, -np.sqrt(2), -np.sqrt(8)], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", METRICS)
def test_every_engine_finds_the_nearest(engine: Engine, metric: Metric) -> None:
    vectors, queries = cloud(300), cloud(40, seed=1)
    found = nearest(vectors, queries, 7, metric, engine=engine, recall=1.0)
    truth = np.sort(brute(vectors, queries, metric), axis=1)[:, ::-1][:, :7]
    np.testing.assert_allclose(found.similarity, truth, atol=1e-4)
    picked = np.take_along_axis(brute(vectors, queries, metric), found.rows, axis=1)
    np.testing.assert_allclose(picked, found.similarity, atol=1e-4)
    assert found.rows.dtype == np.int32
    assert found.recall == 1.0
    assert found.engine == engine


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", METRICS)
def test_oneself_is_left_out(engine: Engine, metric: Metric) -> None:
    vectors = cloud(200)
    found = nearest(vectors, vectors, 5, metric, self_rows=np.arange(200), engine=engine, recall=1.0)
    assert (found.rows != np.arange(200)[:, None]).all()
    similarity = brute(vectors, vectors, metric)
    np.fill_diagonal(similarity, -np.inf)
    np.testing.assert_allclose(found.similarity, np.sort(similarity, axis=1)[:, ::-1][:, :5], atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("copies", [2, 5, 12])
def test_exactly_k_others_even_among_duplicates(engine: Engine, metric: Metric, copies: int) -> None:
    vectors = np.repeat(cloud(20), copies, axis=0)
    n = len(vectors)
    found = nearest(vectors, vectors, 4, metric, self_rows=np.arange(n), engine=engine)
    assert (found.rows >= 0).all()
    assert (found.rows != np.arange(n)[:, None]).all()
    assert all(len(set(row)) == 4 for row in found.rows.tolist())
    if copies > 4 and metric != "dot":  # a longer vector may beat one's own copies
        assert (found.rows // copies == (np.arange(n) // copies)[:, None]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_fewer_than_k_exist(engine: Engine) -> None:
    vectors = cloud(3)
    found = nearest(vectors, vectors, 5, self_rows=np.arange(3), engine=engine)
    assert (found.rows[:, :2] >= 0).all()
    assert (found.rows[:, 2:] == -1).all()
    assert (found.similarity[:, 2:] == 0).all()
    alone = nearest(vectors[:1], vectors[:1], 5, self_rows=np.arange(1), engine=engine)
    assert (alone.rows == -1).all()
    assert nearest(vectors, vectors[:0], 5, engine=engine).rows.shape == (0, 5)


@given(
    n=st.integers(1, 60),
    q=st.integers(1, 9),
    k=st.integers(1, 12),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_torch_and_faiss_agree(n: int, q: int, k: int, metric: Metric, seed: int) -> None:
    vectors, queries = cloud(n, seed), cloud(q, seed + 1)
    one, two = (nearest(vectors, queries, k, metric, engine=e) for e in ("flat", "torch"))
    np.testing.assert_allclose(one.similarity, two.similarity, atol=1e-4)
    np.testing.assert_array_equal(one.rows, two.rows)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = cloud(101), cloud(23, seed=1)
    whole = nearest(vectors, queries, 9, "euclidean", engine="torch")
    monkeypatch.setattr(exact, "_QUERIES", 5)
    monkeypatch.setattr(exact, "_VECTORS", 7)
    parts = nearest(vectors, queries, 9, "euclidean", engine="torch")
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_allclose(whole.similarity, parts.similarity, atol=1e-6)


def test_auto_is_exact_up_to_a_size_and_without_faiss() -> None:
    vectors = cloud(400)
    assert nearest(vectors, vectors[:2], 3, exact_up_to=400).engine == "flat"
    assert nearest(vectors, vectors[:2], 3, exact_up_to=399).engine == "ivf"


def test_without_faiss_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = cloud(50)
    with_faiss = nearest(vectors, vectors, 3, self_rows=np.arange(50))
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = nearest(vectors, vectors, 3, self_rows=np.arange(50), exact_up_to=10)
    assert without.engine == "torch"
    np.testing.assert_array_equal(with_faiss.rows, without.rows)


@pytest.mark.parametrize("wanted", [0.5, 0.99])
def test_approximate_reports_the_recall_it_has(wanted: float) -> None:
    vectors = cloud(3000, width=16)
    found = nearest(vectors, vectors, 10, self_rows=np.arange(3000), engine="ivf", recall=wanted)
    truth = nearest(vectors, vectors, 10, self_rows=np.arange(3000), engine="flat")
    measured = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.rows, found.rows, strict=True)])
    assert measured >= wanted - 0.02
    assert found.recall == pytest.approx(measured, abs=0.03)


def test_approximate_is_deterministic() -> None:
    vectors = cloud(2000)
    one, two = (nearest(vectors, vectors, 5, engine="ivf", seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.rows, two.rows)


def test_recall_by_hand() -> None:
    """The first row misses the second best; in the second an equal one was taken instead."""
    assert found_share(np.array([[0.9, 0.8], [0.7, 0.7]]), np.array([[0.9, 0.5], [0.7, 0.7]])) == 0.75


def test_zero_vectors_are_like_nothing() -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    found = nearest(vectors, vectors[:1], 3, "cosine", engine="flat")
    assert (found.similarity == 0).all()


def test_progress_and_bad_k() -> None:
    seen: list[int] = []
    nearest(cloud(10), cloud(10), 2, progress=lambda stage, done, total: seen.append(done))
    assert seen[-1] == 10
    with pytest.raises(ValueError, match="k must be positive"):
        nearest(cloud(10), cloud(10), 0)


def test_faiss_is_imported_in_one_place() -> None:
    assert "faiss" not in vars(index)  # inside functions, so that torch-only machines import this file


@pytest.mark.parametrize("metric", METRICS)
def test_searching_list_by_list_finds_the_same(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = cloud(2500)

    def search() -> Nearest:
        return nearest(vectors, vectors, 7, metric, self_rows=np.arange(2500), engine="ivf", recall=0.9)

    together = search()
    monkeypatch.setattr(index, "_TOGETHER", 1100)
    parts = search()  # the last 300 one by one
    monkeypatch.setattr(index, "_FEW", 10_000)
    one_by_one = search()
    for other in (parts, one_by_one):
        np.testing.assert_allclose(other.similarity, together.similarity, atol=1e-4)
        assert (other.rows == together.rows).mean() > 0.999  # near ties may change places
    assert together.recall == one_by_one.recall < 1


@pytest.mark.parametrize("size", [3, 20, 60])
def test_an_index_of_one_list_misses_nothing(size: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(size, 8)).astype(np.float32)
    found = nearest(vectors, vectors, 2, engine="ivf")
    assert found.recall == 1.0
    np.testing.assert_array_equal(found.rows, nearest(vectors, vectors, 2, engine="flat").rows)
