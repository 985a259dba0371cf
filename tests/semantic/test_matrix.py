from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from llmesr.errors import UserError
from llmesr.semantic.matrix import align, check_rows, fit_pca, pad, pca, whitened


def test_pca_by_hand() -> None:
    """Points on the line (3, 4): one direction (.6, .8), positive where its largest entry is."""
    vectors = np.array([[-3, -4], [3, 4], [6, 8], [-6, -8]], np.float32)
    projected, explained = pca(vectors, 2)
    np.testing.assert_allclose(projected[:, 0], [-5, 5, 10, -10], atol=1e-5)
    np.testing.assert_allclose(projected[:, 1], 0, atol=1e-5)
    np.testing.assert_allclose(explained, [1, 0], atol=1e-9)


@given(seed=st.integers(0, 1000), n=st.integers(3, 40), width=st.integers(2, 12), size=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_pca_is_scikit_learns_up_to_sign(seed: int, n: int, width: int, size: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    ours, explained = pca(vectors, size)
    most = min(size, n - 1, width)
    theirs = PCA(most).fit(vectors)
    np.testing.assert_allclose(np.abs(ours[:, :most]), np.abs(theirs.transform(vectors)), atol=2e-3)
    np.testing.assert_allclose(explained[:most], theirs.explained_variance_ratio_, atol=1e-4)
    assert ours.shape == (n, size)
    assert not ours[:, min(size, width) :].any()


def test_pca_sign_does_not_depend_on_the_order_of_rows() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(pca(vectors[order], 4)[0], pca(vectors, 4)[0][order], atol=1e-4)


def test_items_without_text_neither_count_nor_move() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    with_holes = np.insert(vectors, [3, 20], 0, axis=0)
    projected, _ = pca(with_holes, 3)
    assert not projected[3].any()
    assert not projected[-1].any()
    np.testing.assert_allclose(np.delete(projected, [3, 21], axis=0), pca(vectors, 3)[0], atol=1e-6)
    assert not pca(np.zeros((4, 5), np.float32), 3)[0].any()


def test_a_fitted_pca_projects_others() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    fitted = fit_pca(vectors, 5)
    np.testing.assert_allclose(fitted.apply(vectors), pca(vectors, 5)[0])
    mean = fitted.apply(vectors[:2].mean(0, keepdims=True))
    np.testing.assert_allclose(mean, pca(vectors, 5)[0][:2].mean(0, keepdims=True), atol=1e-5)
    with pytest.raises(ValueError, match="positive"):
        fit_pca(vectors, 0)


def test_rows_are_evened_out_as_others_are() -> None:
    text = pad(np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    whole = np.asarray(whitened(text, 0.5))
    np.testing.assert_allclose(whitened(text[[4, 0, 9]], 0.5, text), whole[[4, 0, 9]], atol=1e-5)
    np.testing.assert_array_equal(whitened(text[:3], 0, text), text[:3])


def test_padding_puts_item_one_in_row_one_and_the_last_item_last() -> None:
    vectors = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(pad(vectors), [[0, 0], [1, 2], [3, 4], [5, 6]])


@given(st.permutations(list("abcdefg")), st.integers(0, 7))
def test_align_follows_the_ids(order: list[str], count: int) -> None:
    vectors = np.array([[ord(c)] for c in order], np.float32)
    wanted = sorted(order)[:count]
    np.testing.assert_array_equal(align(vectors, order, wanted, "it")[:, 0], [ord(c) for c in wanted])


def test_check_rows_names_the_first_difference() -> None:
    check_rows(["a", "b"], np.array(["a", "b"], dtype=object), "it")
    with pytest.raises(UserError, match="it has 2 item rows, but the dataset has 3 items"):
        check_rows(["a", "b"], ["a", "b", "c"], "it")
    with pytest.raises(UserError, match=r"row 2 is item 'c' where the dataset has 'b' \(2 of 3 rows differ\)"):
        check_rows(["a", "c", "b"], ["a", "b", "c"], "it")
