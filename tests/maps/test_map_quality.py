"""Gap by hand; trustworthiness against its definition in scikit-learn."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as reference

from llmesr.maps.quality import gap, trustworthiness


def test_gap_is_one_minus_the_share_of_common_neighbours() -> None:
    first = np.array([[1, 2, 3, 4], [0, 2, 3, 4], [5, 6, 7, 8], [1, 2, -1, -1], [-1, -1, -1, -1]])
    second = np.array([[4, 3, 2, 1], [5, 6, 7, 8], [5, 1, 6, 2], [2, 9, 3, 1], [1, 2, 3, 4]])
    found = gap(first, second)
    assert found[:4].tolist() == [0.0, 1.0, 0.5, 0.0]
    assert np.isnan(found[4])


def test_a_missing_neighbour_is_not_a_common_one() -> None:
    assert gap(np.array([[1, -1]]), np.array([[2, -1]])).tolist() == [1.0]


def test_gap_refuses_spaces_of_different_points() -> None:
    with pytest.raises(ValueError, match="3 and 2 points"):
        gap(np.zeros((3, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("k", [3, 10])
def test_trustworthiness_is_the_definition_when_every_point_is_asked(k: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 8)).astype(np.float32)
    points = (vectors[:, :2] + 0.1 * rng.normal(size=(120, 2))).astype(np.float32)
    expected = reference(vectors, points, n_neighbors=k, metric="cosine")
    assert trustworthiness(vectors, points, k) == pytest.approx(expected, abs=1e-4)


def test_a_sample_estimates_it_and_points_without_place_are_left_out() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(800, 5)).astype(np.float32)
    points = vectors[:, :2].copy()
    whole = trustworthiness(vectors, points, 10)
    assert trustworthiness(vectors, points, 10, sample=300) == pytest.approx(whole, abs=0.02)
    padded = np.vstack([vectors, np.zeros((50, 5), np.float32)])
    placed = np.vstack([points, np.zeros((50, 2), np.float32)])
    assert trustworthiness(padded, placed, 10) == pytest.approx(whole, abs=1e-9)
    placed[:100] = np.nan
    assert np.isfinite(trustworthiness(padded, placed, 10))


def test_a_perfect_picture_is_trusted_a_random_one_is_not() -> None:
    rng = np.random.default_rng(2)
    angles = rng.uniform(0, 2 * np.pi, 300)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert trustworthiness(circle, circle, 10) == pytest.approx(1.0)
    assert trustworthiness(circle, rng.normal(size=(300, 2)), 10) == pytest.approx(0.5, abs=0.06)


def test_too_few_points_have_no_trustworthiness() -> None:
    assert np.isnan(trustworthiness(np.eye(5), np.eye(5)[:, :2], 5))
