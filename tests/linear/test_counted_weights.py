"""Item-knn and Markov weights on histories small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from llmesr.data.dataset import Dataset
from llmesr.linear import counted
from llmesr.linear.counted import cosines, transitions
from llmesr.linear.interactions import bounded, chosen, followed, gram


def test_what_is_chosen_is_the_training_part_once(tiny: Dataset) -> None:
    made = chosen(tiny)
    for user in range(tiny.n_users):
        train = tiny.history(user)[: tiny.split.train_lengths[user]]
        assert sorted(set(train.tolist())) == made[user].indices.tolist()
    assert set(made.data) == {1.0}
    newest = chosen(tiny, newest=1)
    assert newest.sum() == tiny.n_users
    assert (gram(made).diagonal() == np.asarray(made.sum(0)).ravel()).all()


def test_cosines_by_hand() -> None:
    """1 is chosen by 4 users, 2 by 1 of them: 1 / (sqrt(4) + 8) either way; the nearest only is kept."""
    users = sparse.csr_matrix(np.array([[0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]], np.float32))
    made = cosines(gram(users), shrinkage=8.0, neighbours=2).whole()
    assert made[1, 2].item() == pytest.approx(1 / 10)
    assert made[2, 1].item() == pytest.approx(1 / 10)
    assert made[1, 3].item() == pytest.approx(2 / (8**0.5 + 8))
    assert not made.diagonal().any()
    nearest = cosines(gram(users), shrinkage=8.0, neighbours=1)
    assert nearest.items is not None
    assert nearest.items[1:, 0].tolist() == [3, 3, 1]


@pytest.mark.parametrize("at_once", [1, 40, counted.AT_ONCE])
@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_the_nearest_are_those_of_a_sort_by_hand(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch, neighbours: int, at_once: int
) -> None:
    """However many pairs are weighed at once; few counts are different, so that many are tied."""
    monkeypatch.setattr(counted, "AT_ONCE", at_once)
    size = tiny.n_items + 1
    itself = sparse.csr_matrix(([9.0], ([5], [5])), shape=(size, size))  # which is nobody's neighbour
    follows = followed(tiny, 3, 0.5) + itself
    made = transitions(follows, np.ones(size), shrinkage=1.0, neighbours=neighbours)
    assert made.items is not None
    for item in range(1, size):
        column = follows.tocsc()[:, item]
        pairs = [(-n, other) for n, other in zip(column.data, column.indices, strict=True) if other != item]
        best = sorted(pairs)[:neighbours]
        filled = (0,) * (made.items.shape[1] - len(best))
        assert made.items[item].tolist() == [other for _, other in best] + list(filled)
        assert made.weights[item].tolist() == [-n / 2 for n, _ in best] + list(filled)


def test_transitions_have_a_direction(tiny: Dataset) -> None:
    counts = np.zeros((tiny.n_items + 1, tiny.n_items + 1))
    for user in range(tiny.n_users):
        train = tiny.history(user)[: tiny.split.train_lengths[user]].tolist()
        for place, item in enumerate(train):
            for later in train[place + 1 : place + 3]:
                counts[item, later] += item != later
    found = followed(tiny, 2, 0.0)
    assert (found.toarray() == counts).all()
    both = followed(tiny, 2, 1.0).toarray()
    assert (both == counts + counts.T).all()
    made = transitions(found, tiny.item_counts, shrinkage=3.0, neighbours=tiny.n_items).whole()
    expected = counts / (tiny.item_counts[:, None] + 3.0)
    torch.testing.assert_close(made, torch.from_numpy(expected).float())


def test_long_histories_are_shortened_only_when_their_pairs_are_too_many() -> None:
    lengths = np.array([3, 10, 100])
    assert bounded(lengths, pairs=10_109) is None
    newest = bounded(lengths, pairs=500)
    assert newest is not None
    assert (np.minimum(lengths, newest) ** 2).sum() <= 500 < (np.minimum(lengths, newest + 1) ** 2).sum()
