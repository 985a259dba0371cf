"""The co-occurrence term against sums made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import cosines_by_hand

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.scoring import cooccurrence
from llmesr.scoring.cooccurrence import CooccurrenceTerm
from llmesr.scoring.ground import Ground, Unavailable
from llmesr.scoring.policy import ScoringPolicy


def test_few_pairs_at_a_time_give_the_same(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    term, sequences = CooccurrenceTerm.from_dataset(tiny), torch.randint(1, tiny.n_items + 1, (9, 7))
    scores = term.score(sequences)
    monkeypatch.setattr(cooccurrence, "AT_ONCE", 100)
    torch.testing.assert_close(term.score(sequences), scores)


def test_scores_sum_over_the_history(tiny: Dataset) -> None:
    expected, term = cosines_by_hand(tiny), CooccurrenceTerm.from_dataset(tiny)
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


def test_without_interactions_the_term_says_so(tiny: Dataset) -> None:
    bare = Ground(
        item_counts=torch.from_numpy(np.asarray(tiny.item_counts)),
        train_lengths=torch.zeros(1),
        thresholds=Thresholds(item=1, user=2),
    )
    with pytest.raises(Unavailable, match="training interactions"):
        bare.cooccurrence()
    assert Ground.of(tiny, None).cooccurrence().size == tiny.n_items + 1
    assert not ScoringPolicy(cooccurrence=1.0).inert
