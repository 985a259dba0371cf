"""Pictures: repeatable, turned onto each other, honest about points without a vector."""

import numpy as np
import pytest

from llmesr.maps.knn import nearest_in_space
from llmesr.maps.layout import _bin, force_tables
from llmesr.maps.projection import (
    MapConfig,
    align_all,
    aligned,
    landmarks,
    lay_out_all,
    pca_points,
    place_between,
    umap_points,
)
from llmesr.maps.quality import trustworthiness


def clusters(n: int = 240, groups: int = 6, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.arange(n) % groups
    centres = rng.normal(size=(groups, width)) * 3
    return (centres[label] + rng.normal(size=(n, width))).astype(np.float32), label


def test_pca_is_repeatable_and_leaves_points_without_vector_out() -> None:
    vectors, _ = clusters()
    vectors[5] = 0
    points = pca_points(vectors)
    np.testing.assert_array_equal(points, pca_points(vectors.copy()))
    assert np.isnan(points[5]).all()
    assert np.isfinite(np.delete(points, 5, axis=0)).all()
    assert np.nanvar(points[:, 0]) >= np.nanvar(points[:, 1])


def test_alignment_undoes_a_rotation_a_mirror_a_scale_and_a_shift() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(50, 2)).astype(np.float32)
    turn = np.array([[np.cos(1.1), -np.sin(1.1)], [np.sin(1.1), np.cos(1.1)]])
    other = (reference * [1, -1]) @ turn * 4.2 + [7, -3]
    reference[4] = np.nan
    found = aligned(other.astype(np.float32), reference)
    keep = np.arange(50) != 4
    np.testing.assert_allclose(found[keep], reference[keep], atol=1e-4)
    assert np.isfinite(found[4]).all()


def test_all_pictures_stand_on_the_first_at_unit_scale() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=(80, 2)).astype(np.float32) * 30 + 100
    made = align_all({"a": first, "b": -first * 0.01})
    assert np.sqrt((made["a"] ** 2).mean()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(made["a"], made["b"], atol=1e-4)


def test_landmarks_take_the_tail_first_but_not_only() -> None:
    keep = np.zeros(1000, bool)
    keep[:100] = True
    rows = np.arange(1000)
    few = landmarks(rows, 300, keep, seed=1)
    assert len(few) == 300
    assert set(range(100)) <= set(few.tolist())
    many = landmarks(rows, 100, keep, seed=1)
    assert len(many) == 100
    assert (many < 100).sum() <= 60
    np.testing.assert_array_equal(few, landmarks(rows, 300, keep, seed=1))


def test_a_point_is_placed_by_its_nearest_anchors() -> None:
    anchors = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    places = np.array([[0, 0], [10, 0], [20, 0], [30, 0]], np.float32)
    same, between = place_between(np.array([[2, 0], [1, 1]], np.float32), anchors, places, k=2)
    np.testing.assert_allclose(same, [0, 0], atol=1e-3)
    np.testing.assert_allclose(between, [5, 0], atol=1e-3)


def test_force_tables_follow_the_curve_to_half_a_percent() -> None:
    a, b = 1.577, 0.895
    attract, repel = force_tables(a, b)
    for squared in (0.003, 0.7, 1.0, 5.5, 900.0):
        entry = _bin(np.float32(squared))
        assert attract[entry] == pytest.approx(-2 * a * b * squared ** (b - 1) / (1 + a * squared**b), rel=0.01)
        assert repel[entry] == pytest.approx(2 * b / ((0.001 + squared) * (1 + a * squared**b)), rel=0.01)
    assert 0 <= _bin(np.float32(1e-30)) < _bin(np.float32(1e30)) == len(repel) - 1


@pytest.mark.slow  # imports and compiles umap-learn
def test_umap_is_repeatable_separates_clusters_and_is_trusted_like_umap_learn() -> None:
    import umap

    vectors, label = clusters(n=600)
    vectors[3] = 0
    config = MapConfig(epochs=200)
    near = nearest_in_space(vectors, config.neighbours)
    made = lay_out_all({"a": (vectors, near), "b": (vectors, near)}, config)
    np.testing.assert_allclose(made["a"], made["b"], atol=1e-4)
    assert np.isnan(made["a"][3]).all()
    known = np.delete(np.arange(600), 3)
    points = made["a"][known]
    centres = np.stack([points[label[known] == g].mean(0) for g in range(6)])
    nearest_centre = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert (nearest_centre == label[known]).mean() > 0.98
    theirs = umap.UMAP(metric="cosine", n_epochs=200, random_state=0).fit_transform(vectors[known])
    ours = trustworthiness(vectors[known], points)
    assert ours == pytest.approx(trustworthiness(vectors[known], theirs), abs=0.01)


@pytest.mark.slow
def test_landmarks_draw_nearly_as_well_as_everything() -> None:
    vectors, _ = clusters(n=1500, groups=10)
    whole = umap_points(vectors, None, MapConfig(epochs=100))
    part = umap_points(vectors, None, MapConfig(epochs=100, exact_up_to=700, landmarks=600))
    assert np.isfinite(part).all()
    assert trustworthiness(vectors, part) > trustworthiness(vectors, whole) - 0.06
