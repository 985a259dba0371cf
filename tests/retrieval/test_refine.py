"""Rounds of neighbours of neighbours find what a short search has missed, score it exactly, and stop in time."""

from __future__ import annotations

import numpy as np
import pytest
from clustered import clustered

from llmesr.retrieval import index_quantised, refine
from llmesr.retrieval.index import found_share
from llmesr.retrieval.index_quantised import Coded, quantised
from llmesr.retrieval.refine import Graph

pytest.importorskip("faiss")
N = 6000


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """(N, 24) float16, see :func:`clustered`."""
    rows: np.ndarray = clustered(N).astype(np.float16)
    return rows


@pytest.fixture(scope="module")
def cosines(vectors: np.ndarray) -> np.ndarray:
    """(N, N), -inf with itself and where one of the two is zero."""
    rows = vectors.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = (rows / np.maximum(lengths, 1e-12)) @ (rows / np.maximum(lengths, 1e-12)).T
    found[[5, 77]] = found[:, [5, 77]] = -np.inf
    np.fill_diagonal(found, -np.inf)
    return found


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search alone has to re-score many rows, so that rounds cost less, and no data are too small for them."""
    monkeypatch.setattr(index_quantised, "_SHORTLISTS", (128,))
    monkeypatch.setattr(index_quantised, "_FEWEST_LISTS", 2)
    monkeypatch.setattr(index_quantised, "_REFINED_FROM", 1)


def share(cosines: np.ndarray, found: np.ndarray) -> float:
    """Of the ten nearest to each row that is not zero, those that ``found`` (N, 10) has, counted by their cosines."""
    there = np.isfinite(cosines).any(axis=1)
    return found_share(-np.sort(-cosines[there], axis=1)[:, :10], found[there])


def test_who_is_near_to_a_neighbour_is_found() -> None:
    """On a quarter of a circle 0 knows 1 and 1 knows 2; nobody knows 3, which is nearest to 0."""
    angles = np.deg2rad([0, 40, 20, 1])
    graph = Graph(np.stack([np.cos(angles), np.sin(angles)], axis=1), 2, 2)
    graph.near[:] = [[1, -1], [2, -1], [1, -1], [0, -1]]
    assert graph.met(np.array([0])).tolist() == [0, 1, 2]
    rows, cosines = graph.better(np.array([0]))
    assert rows.tolist() == [[2, 1]]
    np.testing.assert_allclose(cosines, np.cos(np.deg2rad([[20, 40]])), atol=1e-6)
    assert graph.better(np.array([0, 3]))[0].tolist() == [[3, 2], [0, 2]]  # in a block they meet each other


def test_who_meets_too_few_others_has_gaps() -> None:
    graph = Graph(np.eye(3, dtype=np.float32), 2, 2)
    rows, cosines = graph.better(np.array([1]))
    assert rows.tolist() == [[-1, -1]]
    assert (cosines == -np.inf).all()


def test_large_blocks_are_halved(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same neighbours, or nearer ones with the whole block."""
    graph = Graph(vectors, 10, 16)
    graph.near[:] = np.random.default_rng(0).integers(100, N, graph.near.shape)
    block = np.arange(100, 108)
    whole = graph.better(block)[1]
    monkeypatch.setattr(refine, "_AT_MOST", 500)
    halves = graph.better(block)[1]
    assert halves.shape == whole.shape
    assert (whole >= halves - 1e-6).all()
    assert (whole > halves + 1e-6).any()


def test_rounds_find_what_two_lists_miss(vectors: np.ndarray, cosines: np.ndarray) -> None:
    coded = Coded(vectors, 10, recall=0.5, seed=42)
    coded.index.nprobe, coded.shortlist = 2, 1
    found = np.full((N, 10), -np.inf, np.float32)
    found[coded.there] = coded.nearest(coded.there)[1]
    graph = Graph(vectors, 10, 16)
    reached = coded.refine(graph, 0.99)
    assert share(cosines, found) < 0.5
    assert share(cosines, graph.cosines) > 0.98
    assert abs(reached - share(cosines, graph.cosines)) < 0.03


@pytest.mark.usefixtures("dear")
def test_few_lists_and_rounds_where_these_cost_less(vectors: np.ndarray, cosines: np.ndarray) -> None:
    stages: list[str] = []
    found = quantised(vectors, 10, recall=0.95, progress=lambda stage, *_: stages.append(stage))
    assert "neighbours of neighbours" in stages
    assert found.recall >= 0.95
    assert abs(share(cosines, found.similarity) - found.recall) < 0.03
    known = np.setdiff1d(np.arange(N), [5, 77])
    assert (found.rows[known] != known[:, None]).all()
    assert (np.diff(found.similarity[known], axis=1) <= 0).all()
    np.testing.assert_allclose(found.similarity[known], cosines[known[:, None], found.rows[known]], atol=1e-5)
    assert found.rows[10, 0] == 11
    assert (found.rows[[5, 77]] == -1).all()
    assert (found.similarity[[5, 77]] == 0).all()
    assert not np.isin(found.rows, [5, 77]).any()
    assert all(len(set(row)) == 10 for row in found.rows[known])


@pytest.mark.usefixtures("dear")
def test_the_same_seed_gives_the_same(vectors: np.ndarray) -> None:
    one, other = quantised(vectors, 10), quantised(vectors, 10)
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.similarity, other.similarity)


@pytest.mark.usefixtures("dear")
def test_fewer_rows_than_a_block() -> None:
    rows = np.random.default_rng(0).normal(size=(120, 24)).astype(np.float32)
    found = quantised(rows, 10, recall=0.9)
    assert (found.rows >= 0).all()
    assert found.recall >= 0.9


@pytest.mark.usefixtures("dear")
def test_what_costs_less_alone_is_not_refined(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists and the shortlist are then those that were settled on."""
    monkeypatch.setattr(index_quantised, "_PRODUCT", 1e6)
    coded = Coded(vectors, 10, recall=0.99, seed=42)
    before = coded.index.nprobe, coded.shortlist
    assert coded.recall >= 0.99
    assert coded.graph(0.99) is None
    assert (coded.index.nprobe, coded.shortlist) == before


@pytest.mark.usefixtures("dear")
def test_what_the_codes_miss_rounds_find(vectors: np.ndarray) -> None:
    """Where the search has not the recall, what reaches more is taken whatever it costs."""
    coded = Coded(vectors, 10, recall=0.95, seed=42)
    coded.index.nprobe, coded.shortlist, coded.recall = 8, 1, 0.6
    graph = coded.graph(0.95)
    assert graph is not None
    assert coded.index.nprobe < 8
    assert coded.refine(graph, 0.95) > 0.7


@pytest.mark.parametrize("setting", [("_REFINED_FROM", N), ("_REFINED_UP_TO", 9)])
@pytest.mark.usefixtures("dear")
def test_few_rows_and_many_neighbours_are_searched_once(
    vectors: np.ndarray, setting: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are N - 2 rows that are not zero."""
    coded = Coded(vectors, 10, recall=0.95, seed=42)
    before = coded.index.nprobe, coded.shortlist
    monkeypatch.setattr(index_quantised, *setting)
    assert coded.graph(0.95) is None
    assert (coded.index.nprobe, coded.shortlist) == before
