"""The co-occurrence term against counts made by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from llmesr.serving import cooccurrence
from llmesr.serving.cooccurrence import CooccurrenceTerm, cosines
from llmesr.serving.policy import Ground, ScoringPolicy, Unavailable


def by_hand(dataset, recent=50):
    """Shrunk cosines from the sets of users who chose each item in training."""
    chosen: list[set[int]] = [set() for _ in range(dataset.n_items + 1)]
    for user in range(dataset.n_users):
        training = dataset.history(user)[: dataset.split.train_lengths[user]]
        for item in training[-recent:]:
            chosen[item].add(user)
    made = np.zeros((dataset.n_items + 1,) * 2)
    for a in range(1, dataset.n_items + 1):
        for b in range(1, dataset.n_items + 1):
            if a != b:
                made[a, b] = len(chosen[a] & chosen[b]) / (math.sqrt(len(chosen[a]) * len(chosen[b])) + 5)
    return made


def test_cosines_are_those_of_the_training_part(tiny):
    expected = by_hand(tiny)
    np.testing.assert_allclose(cosines(tiny).toarray(), expected, rtol=1e-5)
    assert expected.any()


def test_only_the_newest_choices_are_paired(tiny, monkeypatch):
    monkeypatch.setattr(cooccurrence, "RECENT", 2)
    np.testing.assert_allclose(cosines(tiny).toarray(), by_hand(tiny, recent=2), rtol=1e-5)


def test_a_repeated_choice_counts_once(tiny):
    items = tiny.items.copy()
    starts = tiny.offsets[:-1][tiny.split.train_lengths > 1]
    items[starts + 1] = items[starts]
    repeats = dataclasses.replace(tiny, items=items)
    np.testing.assert_allclose(cosines(repeats).toarray(), by_hand(repeats), rtol=1e-5)


def test_few_rows_at_a_time_give_the_same(tiny, monkeypatch):
    whole, sequences = cosines(tiny), torch.randint(1, tiny.n_items + 1, (9, 7))
    scores = CooccurrenceTerm(whole).score(sequences)
    monkeypatch.setattr(cooccurrence, "AT_ONCE", 100)
    assert (cosines(tiny) != whole).nnz == 0
    torch.testing.assert_close(CooccurrenceTerm(whole).score(sequences), scores)


def test_the_nearest_are_kept(tiny, monkeypatch):
    expected = by_hand(tiny)
    monkeypatch.setattr(cooccurrence, "MOST", 32)
    monkeypatch.setattr(cooccurrence, "PAIRS", 0)
    kept = cosines(tiny).toarray()
    assert np.count_nonzero(kept, axis=1).max() == 32 < np.count_nonzero(expected, axis=1).max()
    for row in range(1, tiny.n_items + 1):
        np.testing.assert_allclose(np.sort(kept[row])[::-1][:32], np.sort(expected[row])[::-1][:32], rtol=1e-5)


def test_scores_sum_over_the_history(tiny):
    expected, term = by_hand(tiny), CooccurrenceTerm.from_dataset(tiny)
    histories = torch.tensor([[3, 7, 9], [5, 0, 0], [0, 0, 0]])
    scores = term.score(histories)
    for row, history in enumerate(histories.tolist()):
        total = sum((expected[h] for h in history if h), np.zeros(tiny.n_items + 1))
        np.testing.assert_allclose(scores[row], np.log1p(10 * total), rtol=1e-4, atol=1e-6)
    assert not scores[2].any()
    few = torch.tensor([[1, 9], [4, 4], [2, 3]])
    torch.testing.assert_close(term.of(histories, few), scores.gather(1, few))
    wider = torch.nn.functional.pad(histories, (0, 4))
    torch.testing.assert_close(term.score(wider), scores)


def test_without_interactions_the_term_says_so(tiny):
    bare = Ground(
        item_counts=torch.from_numpy(np.asarray(tiny.item_counts)), train_lengths=torch.zeros(1), user_threshold=2
    )
    with pytest.raises(Unavailable, match="training interactions"):
        bare.cooccurrence()
    assert Ground.of(tiny, None).cooccurrence().size == tiny.n_items + 1
    assert not ScoringPolicy(cooccurrence=1.0).inert
