"""The rank of any item for any user is the one that evaluation gives to the same question."""

from __future__ import annotations

import numpy as np
from lab_shop import opened

from llmesr.evaluation.ranks import evaluate
from llmesr.lab.audience import Audience, asked, everyone, ranks_of, reached

pytest_plugins = ("lab_shop",)


def test_ranks_are_those_of_the_evaluation() -> None:
    scored = opened("llm-esr")
    data = scored.dataset
    found = evaluate(scored.scorer, data, "valid", protocols=["full"], top=0, max_length=scored.max_length).frame
    audience = asked(data, "valid")
    items = np.unique(found["target"])
    ranks = ranks_of(scored, items, audience)
    column = np.searchsorted(items, found["target"])
    assert ranks[np.arange(len(found)), column].tolist() == found["rank"].tolist()


def test_an_item_of_the_history_stands_in_no_list() -> None:
    scored = opened("text-ease")
    data = scored.dataset
    items = data.history(4)[:1]
    ranks = ranks_of(scored, items, Audience(np.array([4]), data.lengths[[4]], ""))
    assert ranks.tolist() == [[0]]
    assert reached(np.array([0, 1, 10, 11]), 10).tolist() == [False, True, True, False]


def test_of_many_users_so_many_are_drawn() -> None:
    data = opened("text-ease").dataset
    whole, some = everyone(data, 10_000, 0), everyone(data, 20, 0)
    assert len(whole) == data.n_users
    assert len(some) == 20
    assert "drawn at random of 150" in some.described
    assert (np.diff(some.users) > 0).all()
    assert some.lengths.tolist() == data.lengths[some.users].tolist()
