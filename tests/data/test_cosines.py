"""Item-to-item cosines against counts made by hand."""

import dataclasses

import numpy as np
import pytest
from factories import cosines_by_hand
from scipy import sparse

from llmesr.data import cosines as module
from llmesr.data.dataset import Dataset


def cosines(dataset: Dataset) -> sparse.csr_matrix:
    """Counted anew: a dataset keeps those it counted first."""
    return module.item_cosines(dataset.offsets, dataset.items, dataset.split.train_lengths, dataset.n_items)


def test_cosines_are_those_of_the_training_part(tiny: Dataset) -> None:
    expected = cosines_by_hand(tiny)
    np.testing.assert_allclose(cosines(tiny).toarray(), expected, rtol=1e-5)
    assert expected.any()


def test_only_the_newest_choices_are_paired(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT", 2)
    np.testing.assert_allclose(cosines(tiny).toarray(), cosines_by_hand(tiny, recent=2), rtol=1e-5)


def test_a_repeated_choice_counts_once(tiny: Dataset) -> None:
    items = tiny.items.copy()
    starts = tiny.offsets[:-1][tiny.split.train_lengths > 1]
    items[starts + 1] = items[starts]
    repeats = dataclasses.replace(tiny, items=items)
    np.testing.assert_allclose(cosines(repeats).toarray(), cosines_by_hand(repeats), rtol=1e-5)


def test_few_rows_at_a_time_give_the_same(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cosines(tiny)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    assert (cosines(tiny) != whole).nnz == 0


def test_the_nearest_are_kept(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = cosines_by_hand(tiny)
    monkeypatch.setattr(module, "MOST", 32)
    monkeypatch.setattr(module, "PAIRS", 0)
    kept = cosines(tiny).toarray()
    assert np.count_nonzero(kept, axis=1).max() == 32 < np.count_nonzero(expected, axis=1).max()
    for row in range(1, tiny.n_items + 1):
        np.testing.assert_allclose(np.sort(kept[row])[::-1][:32], np.sort(expected[row])[::-1][:32], rtol=1e-5)


def test_a_dataset_counts_them_once(tiny: Dataset) -> None:
    assert tiny.item_cosines is tiny.item_cosines
    assert (tiny.item_cosines != cosines(tiny)).nnz == 0


def test_of_equal_ones_the_lower_numbers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten users who chose items 1 to 40 alike, of 45: every pair has the same cosine, and five items have none."""
    monkeypatch.setattr(module, "PAIRS", 0)
    offsets, items = np.arange(11) * 40, np.tile(np.arange(1, 41), 10)
    kept = module.item_cosines(offsets, items, np.full(10, 40), 45).toarray() > 0
    for row in range(1, 41):
        others = [item for item in range(1, 41) if item != row]
        assert np.flatnonzero(kept[row]).tolist() == others[:32]
    assert not kept[[0, *range(41, 46)]].any()
