"""What a dataset keeps for scoring stays within its budget, whatever is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from serving_doubles import FakeScorer, bare_run, text_vectors

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.scoring.ground import Ground, stranger
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import POLICIES_KEPT, Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import Embedding
from llmesr.store import Store

N = 50


def ground(spaces: float) -> Ground:
    """With room for so many text spaces."""
    parts: dict[str, Any] = {
        "item_counts": torch.arange(N + 1),
        "train_lengths": torch.ones(3),
        "thresholds": Thresholds(item=1, user=2),
        "text": text_vectors(N),
    }
    one = Ground(**parts).content().nbytes
    return Ground(**parts, budget=int(spaces * one))


def test_the_text_spaces_used_last_are_kept_within_the_budget() -> None:
    at = ground(spaces=3.5)
    first = at.content(0.0)
    for whitening in np.linspace(0.01, 1, 60):
        term = at.content(float(whitening))
        assert at.content(0.0) is first  # in use all the time
        assert at.content(float(whitening)) is term
        assert at.kept_bytes <= 3 * term.nbytes
    assert ground(spaces=0).content(0.5) is not None  # the one that is asked for is always there


def test_whitening_comes_in_steps() -> None:
    found = {ScoringPolicy(whitening=float(w)).whitening for w in np.linspace(0, 1, 500)}
    assert found == {round(i / 20, 2) for i in range(21)}
    assert "steps of 0.05" in str(ScoringPolicy.model_fields["whitening"].description)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        ScoringPolicy(whitening=1.01)


def test_many_different_requests_do_not_grow_what_is_kept(store: Store, tiny: Dataset) -> None:
    vectors, users = text_vectors(tiny.n_items).numpy()[1:], np.zeros((tiny.n_users, 6), np.float32)
    text = Embedding(tiny.manifest, vectors, users, tiny.catalogue["item_id"].to_numpy())
    scored = ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), embedding=text)
    scored.ground.budget = 2 * scored.ground.content().nbytes + scored.ground.linear("cosines").nbytes
    recommender = Recommender(scored)
    for i in range(60):
        policy = ScoringPolicy(gamma=1 + i, whitening=i / 60, linear=i, route_threshold=i)
        assert len(recommender.recommend([3, 7], 5, policy)) == 5
        assert scored.ground.kept_bytes <= scored.ground.budget
    assert recommender.policies_kept == POLICIES_KEPT


def test_who_is_unknown_is_told_apart_by_the_whole_history() -> None:
    at = Ground(item_counts=torch.ones(9), train_lengths=torch.tensor([1, 8]), thresholds=Thresholds(item=1, user=6))
    read = torch.ones(5, 4, dtype=torch.long)  # a model reads the newest four
    users = torch.tensor([0, 1, stranger(8), stranger(4), -1])
    assert at.tail_users(read, users).tolist() == [True, False, False, True, True]
    assert at.tail_users(read, None).all()


def test_a_posted_history_that_is_cut_counts_whole(store: Store, tiny: Dataset) -> None:
    scored = ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), dataset=tiny)
    served, policy = Recommender(scored), ScoringPolicy(popularity=5.0, tail_users_only=True)
    longest = served.max_length + tiny.thresholds.user
    history = [1 + n % tiny.n_items for n in range(longest)]
    plain, asked = (served.answer([served.request(history, 5, p)])[0] for p in (ScoringPolicy(), policy))
    assert plain.items.tolist() == asked.items.tolist()  # a head user, however little of it the model reads
    short = [served.answer([served.request(history[-1:], 5, p)])[0].items.tolist() for p in (ScoringPolicy(), policy)]
    assert short[0] != short[1]
