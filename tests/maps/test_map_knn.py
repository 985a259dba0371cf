"""Neighbours of every point: against brute force, with duplicates, without vectors, with too few points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.data.unit_rows import unit_rows
from llmesr.maps.knn import all_pairs, nearest_in_space, neighbours_of


def brute(units: np.ndarray, k: int) -> np.ndarray:
    scores = units @ units.T
    np.fill_diagonal(scores, -np.inf)
    return np.sort(scores, axis=1)[:, ::-1][:, :k]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 400), width=st.integers(1, 9), k=st.integers(1, 20), seed=st.integers(0, 99))
def test_all_pairs_finds_the_best_values_of_every_row(n: int, width: int, k: int, seed: int) -> None:
    k = min(k, n - 1)
    units = unit_rows(np.random.default_rng(seed).normal(size=(n, width)))
    rows, scores = all_pairs(units, k)
    np.testing.assert_allclose(scores, brute(units, k), atol=1e-6)
    assert (rows != np.arange(n)[:, None]).all()
    assert set(rows.ravel().tolist()) <= set(range(n))
    assert all(len(set(r)) == k for r in rows.tolist())
    np.testing.assert_allclose(np.einsum("ne,nke->nk", units, units[rows]), scores, atol=1e-6)


def test_duplicates_name_each_other_and_never_themselves() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 3, axis=0)  # three triples
    found = nearest_in_space(vectors, 2)
    assert [sorted(r) for r in found.rows.tolist()] == [
        [1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4], [7, 8], [6, 8], [6, 7]
    ]  # fmt: skip
    np.testing.assert_allclose(found.similarity, 1.0)


def test_a_point_without_vector_has_no_neighbours_and_is_nobodys() -> None:
    vectors = np.array([[1, 0], [0, 0], [1, 0.1], [0, 1]], np.float32)
    found = nearest_in_space(vectors, 3)
    assert found.rows.tolist() == [[2, 3, -1], [-1, -1, -1], [0, 3, -1], [2, 0, -1]]
    assert found.known.tolist() == [True, False, True, True]
    assert found.similarity[1].tolist() == [0, 0, 0]
    assert nearest_in_space(vectors[1:2], 3).rows.tolist() == [[-1, -1, -1]]


def test_above_the_limit_the_search_says_its_recall() -> None:
    vectors = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    exact = nearest_in_space(vectors, 5)
    found = nearest_in_space(vectors, 5, exact_up_to=300)
    assert exact.recall == 1.0
    assert 0.9 <= found.recall <= 1.0
    shared = (exact.rows[:, :, None] == found.rows[:, None, :]).any(2).mean()
    assert shared > 0.85


def test_neighbours_of_one_row_agree_with_all_pairs() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 6))
    vectors[7] = 0
    every = nearest_in_space(vectors, 4)
    for row in (0, 13, 49):
        assert neighbours_of(vectors, row, 4)[0].tolist() == every.rows[row].tolist()
    assert len(neighbours_of(vectors, 7, 4)[0]) == 0


def test_k_beyond_the_points_is_refused_by_the_exact_search() -> None:
    with pytest.raises(ValueError, match="between 1 and 2"):
        all_pairs(np.eye(3, dtype=np.float32), 3)
