"""Trees on top of a blend: where a candidate ends, and what each feature adds on the way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer, Trees, Usual, features, many_features, standardised


class Told:
    """Scores that are given."""

    def __init__(self, scores: list[float]) -> None:
        self.scores, self.n_items = torch.tensor(scores), len(scores) - 1

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.scores.expand(len(sequences), -1)


@pytest.fixture
def trees() -> Trees:
    """Two trees of depth 2 over two features; the second always turns left."""
    return Trees(
        torch.tensor([[0, 1, 1], [1, 0, 0]]),
        torch.tensor([[0.0, 1.0, 2.0], [torch.inf, torch.inf, torch.inf]]),
        torch.tensor([[0.5, -1.0, 2.0, -3.0, 1.0, 1.5, 4.0], [0.25, 0.25, 0.0, 0.25, 0.0, 0.0, 0.0]]),
    )


KNOWN = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [0.0, 2.0, 0.0, 3.0]])  # (F, R)


def test_a_candidate_gets_the_value_of_the_leaf_it_ends_in(trees: Trees) -> None:
    assert trees.score(KNOWN).tolist() == [-2.75, 1.25, 1.75, 4.25]
    assert trees.first(1).score(KNOWN).tolist() == [-3.0, 1.0, 1.5, 4.0]
    assert trees.first(0).score(KNOWN).tolist() == [0.0] * 4


def test_each_step_down_a_tree_is_credited_to_the_feature_that_decided_it(trees: Trees) -> None:
    added, alike = trees.shares(KNOWN)
    assert float(alike) == 0.75  # both roots
    assert added[0].tolist() == [-1.5, -1.5, 1.5, 1.5]
    assert added[1].tolist() == [-2.0, 2.0, -0.5, 2.0]
    assert torch.equal(added.sum(0) + alike, trees.score(KNOWN))


def test_features_are_the_members_in_one_unit_and_what_is_known_of_item_and_history() -> None:
    scores = torch.tensor([[9.0, 1.0, 2.0, 3.0]])
    spread = (2 / 3) ** 0.5
    assert standardised(scores)[0, 1:].tolist() == pytest.approx([-1 / spread, 0.0, 1 / spread])
    assert not standardised(torch.ones(1, 4))[0, 1:].any()
    logs = torch.tensor([0.0, 1.0, 2.0, 3.0])
    usual = Usual(torch.tensor([[0.0, -1.0, -0.5, 1.0]]), torch.tensor([[1.0, 1.0, 0.25, 1.0]]))
    known = features([scores], logs, torch.tensor([[3, 1, 0]]), usual)
    assert known.shape == (6, 1, 4) == (many_features(1), 1, 4)
    # in the middle for this user, two standard deviations above what this item usually gets
    assert known[:, 0, 2].tolist() == pytest.approx([0.0, 2.0, 2.0, 0.6931, 2.0, 1.0], abs=1e-4)
    assert features([scores], logs, torch.tensor([[0, 0]]), usual).isfinite().all()  # nothing was chosen yet


def test_what_is_usual_of_an_item_is_told_by_the_users() -> None:
    said = torch.tensor([[[0.0, 1.0, 4.0], [0.0, 3.0, 4.0]]])  # one member, two users, two items
    usual = Usual.of(said.double().sum(1), said.double().square().sum(1), 2)
    assert usual.mean.tolist() == [[0.0, 2.0, 4.0]]
    assert usual.spread[0].tolist() == pytest.approx([1e-3, 1.0, 1e-3])
    whole = usual.beyond(said, slice(None))
    assert whole[0, :, 1].tolist() == [-1.0, 1.0]
    assert not whole[0, :, 2].any()  # alike for everybody
    items = torch.tensor([[1, 2], [2, 1]])
    picked = said.gather(2, items[None])
    assert torch.equal(usual.beyond(picked, items), whole.gather(2, items[None]))


def test_what_members_and_popularity_add_is_the_score() -> None:
    members = [Told([0.0, 1.0, 5.0, 2.0]), Told([0.0, 3.0, 0.0, 1.0])]
    blend = BlendScorer(members, torch.tensor([[1.0] * 4, [2.0] * 4]), torch.tensor([0.0, 0.1, 0.2, 0.3]))
    grown = Trees(
        torch.tensor([[0, 3, 4]]),  # the first member; how far the second lies beyond the usual; popularity
        torch.tensor([[0.0, 0.5, 1.0]]),
        torch.tensor([[0.1, 0.4, -0.2, 0.3, 1.0, -2.0, 0.7]]),
    )
    usual = Usual(torch.zeros(2, 4), torch.full((2, 4), 0.5))
    scorer = BoostedScorer(blend, grown, torch.tensor([0.0, 0.5, 2.0, 1.5]), usual)
    sequences, items = torch.tensor([[2, 1]]), torch.tensor([1, 2, 3])
    whole = scorer.score(sequences)[0, items]
    assert not torch.allclose(whole, blend.score(sequences)[0, items])
    parts, rest = scorer.shares(sequences, None, items)
    assert torch.allclose(sum(parts, rest), whole)
    twice = scorer.score(torch.tensor([[2, 1], [1, 0]]))
    assert torch.allclose(twice[0, items], whole)
