"""Lists that are re-ordered for some users: the others' scores stay bit for bit, and an order is an order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import evaluate
from llmesr.scoring.allocation.lists import Lists, Relisted
from llmesr.scoring.allocation.rankers import AtRandom


class Given:
    """Scores by user."""

    def __init__(self, scores: Tensor) -> None:
        self.scores, self.n_items = scores, scores.shape[1] - 1

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        assert users is not None
        return self.scores[users]


def test_the_listed_items_stand_in_their_order_and_nothing_else_moves() -> None:
    scores = torch.tensor([[9.0, 5, 4, 3, 2, 1], [0.0, 1, 2, 3, 4, 5]])
    lists = Lists("test", np.array([0]), np.array([[3, 1, 2]]))
    made = Relisted(Given(scores), lists, 2).score(torch.zeros(2, 1, dtype=torch.long), torch.tensor([0, 1]))
    assert made[0].tolist() == [9.0, 4, 3, 5, 2, 1]
    assert torch.equal(made[1], scores[1])
    assert scores[0].tolist() == [9.0, 5, 4, 3, 2, 1]  # the model's own are left alone


@given(st.lists(st.sampled_from([0.0, -1.0, 1.0, 1e-3, 7.0]), min_size=6, max_size=6), st.permutations([1, 2, 3, 4]))
def test_equal_scores_do_not_undo_the_order(values: list[float], order: list[int]) -> None:
    """Zeros above all, which linear models give to most items."""
    scores = torch.tensor([[0.0, *values]])
    best = scores[0, 1:].argsort(descending=True, stable=True)[:4] + 1
    listed = best[torch.tensor(order) - 1]
    made = Relisted(Given(scores), Lists("test", np.array([0]), listed[None].numpy()), 1)
    found = made.score(torch.zeros(1, 1, dtype=torch.long), torch.tensor([0]))[0]
    assert (found[listed].diff() < 0).all()
    others = [i for i in range(1, 7) if i not in listed.tolist()]
    assert torch.equal(found[others], scores[0, others])
    assert found[others].max() <= found[listed].min()


def test_shorter_lists_are_padded_and_stay_behind() -> None:
    scores = torch.tensor([[3.0, 2, 1]])
    made = Relisted(Given(scores), Lists("test", np.array([0]), np.array([[2, 1, 0]])), 1)
    found = made.score(torch.zeros(1, 1, dtype=torch.long), torch.tensor([0]))[0]
    assert found[2] == 2
    assert found[1] == 1


@pytest.mark.parametrize("wrong", [[[1, 2, 2]], [[1, 2, 4]], [[1, 2, 0]]])
def test_an_order_that_loses_or_invents_an_item_is_an_error(wrong: list[list[int]]) -> None:
    lists = Lists("test", np.array([0]), np.array([[1, 2, 3]]))
    with pytest.raises(ValueError, match="gives back the candidates"):
        lists.ordered(np.array(wrong))


def test_chance_keeps_the_items_and_is_the_same_each_time() -> None:
    lists = Lists("test", np.arange(50), np.tile(np.array([5, 4, 3, 2, 1, 0]), (50, 1)))
    order = AtRandom(1).order(lists)
    assert (lists.ordered(order).items[:, 5] == 0).all()
    assert (order == AtRandom(1).order(lists)).all()
    assert (order != AtRandom(2).order(lists)).any()
    assert (AtRandom(1).order(lists.of(np.array([7]))) == order[7]).all()


def test_strong_users_are_ranked_bit_for_bit_as_before(tiny: Dataset) -> None:
    model = Given(torch.randn(tiny.n_users, tiny.n_items + 1, generator=torch.Generator().manual_seed(0)))
    weak = tiny.split.users("test")[::3]
    items = model.scores[torch.from_numpy(weak), 1:].argsort(1, descending=True)[:, :20].numpy() + 1
    lists = Lists("test", weak, items)
    plain = evaluate(model, tiny, "test")
    made = evaluate(Relisted(model, lists.ordered(AtRandom(0).order(lists)), tiny.n_users), tiny, "test")
    strong = ~np.isin(tiny.split.users("test"), weak)
    assert np.array_equal(plain.top_items[strong], made.top_items[strong])
    assert not np.array_equal(plain.top_items[~strong], made.top_items[~strong])
    rows = ~plain.frame["user"].isin(weak)
    assert plain.frame[rows].equals(made.frame[rows])
