"""Gap by hand; trustworthiness against its definition in scikit-learn."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as reference

from llmesr.maps.knn import nearest_in_space
from llmesr.maps.quality import CHANCE, gap, trustworthiness


def on_circle(*degrees: float) -> np.ndarray:
    turned = np.deg2rad(np.array(degrees))
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    return nearest_in_space(vectors, k).rows


def space(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return vectors, nearest(vectors, k)


def test_gap_by_hand() -> None:
    """Five points on a circle. Point 0 is beside 1, then 2, in the first space. Seen from 0 the others stand at 90,
    10, 20 and 100 degrees in the second: 1 has two of three others before it, 2 none. Back, its nearest there are 2
    (behind 1 of the others here) and 3 (behind 1 and 2)."""
    first, second = on_circle(0, 10, 20, 90, 100), on_circle(0, 90, 10, 20, 100)
    found = gap(space(first, 2), space(second, 2), ks=(1, 2))
    same = 1 / 6  # the mean of 0 and 1/3, what the two nearest have in their own space

    def scaled(percentile: float) -> float:
        return 0.5 * (percentile - same) / (0.5 - same)

    there = np.mean([2 / 3, scaled(1 / 3)])
    back = np.mean([1 / 3, scaled(1 / 2)])
    assert found[0] == pytest.approx((there + back) / 2)


def test_points_as_close_count_half() -> None:
    first, second = on_circle(0, 10, 40, 80), on_circle(0, 90, 90, 90)
    found = gap(space(first, 1), space(second, 1), ks=(1,))
    there = 0.5  # the two others stand beside it
    back = 0 if nearest(second, 1)[0, 0] == 1 else (1 / 2 if nearest(second, 1)[0, 0] == 2 else 1)
    assert found[0] == pytest.approx((there + back) / 2)


def test_gap_is_nothing_between_equal_spaces_and_half_between_unrelated_ones() -> None:
    rng = np.random.default_rng(0)
    first, second = (space(rng.normal(size=(1500, 16)).astype(np.float32), 15) for _ in range(2))
    assert gap(first, first, sample=5000).max() == pytest.approx(0, abs=1e-3)
    apart = gap(first, second)
    assert np.mean(apart) == pytest.approx(CHANCE, abs=0.02)
    assert len(np.unique(np.round(apart, 6))) > 1000, "it does not saturate"
    assert np.mean(gap(first, second, sample=5000)) == pytest.approx(np.mean(apart), abs=0.02)


def test_the_same_neighbours_are_no_gap_however_few_points_there_are() -> None:
    few = space(np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32), 15)
    assert gap(few, few).max() == pytest.approx(0, abs=1e-9)


def test_gap_is_narrower_the_more_two_spaces_share() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=(600, 8))
    noisy = [space((common + s * rng.normal(size=(600, 8))).astype(np.float32), 15) for s in (0.0, 0.5, 2.0, 8.0)]
    means = [float(np.mean(gap(noisy[0], other))) for other in noisy[1:]]
    assert means == sorted(means)
    assert means[-1] < CHANCE


def test_a_point_without_a_vector_has_no_gap() -> None:
    vectors = on_circle(0, 10, 20, 90, 100)
    lacking = vectors.copy()
    lacking[4] = 0
    found = gap(space(vectors, 2), space(lacking, 2))
    assert np.isnan(found).tolist() == [False, False, False, False, True]
    alone = (vectors, np.array([[4], [0], [1], [4], [3]]))  # the only neighbour of 0 and 3 has no vector there
    assert np.isnan(gap(alone, space(lacking, 1), ks=(1,))).tolist() == [True, False, False, True, True]


def test_gap_refuses_spaces_of_different_points() -> None:
    with pytest.raises(ValueError, match="3 and 2 points"):
        gap((np.zeros((3, 2)), np.zeros((3, 1))), (np.zeros((2, 2)), np.zeros((2, 1))))


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
