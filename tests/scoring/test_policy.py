"""The scoring policy against its formula, written out one entry at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_doubles import Counts, FakeScorer, text_vectors

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.linear.rows import Rows
from llmesr.models.scorers import SemanticKnnScorer
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.ground import Ground
from llmesr.scoring.linear_term import LinearTerm
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.terms import open_terms
from llmesr.scoring.weights import PopularityWeights
from llmesr.semantic.matrix import whitened

N = 30
COUNTS = torch.arange(N + 1)  # item i has i training interactions
SEQUENCES = torch.tensor([[3, 7, 0, 0], [5, 0, 0, 0], [9, 2, 9, 30], [30, 0, 0, 0]])
USERS = torch.tensor([0, 1, 2, 3])


COSINES = sparse.random(N + 1, N + 1, density=0.2, format="csr", random_state=3, dtype=np.float32)
WEIGHTS = PopularityWeights(
    counts=(2, 9, 24),
    collaborative=(0.2, 0.7, 1.1),
    semantic=(1.5, 0.9, 0.3),
    content=(2.0, 1.0, -0.5),
    linear=(0.1, 0.4, 0.9),
    bias=(0.3, 0.0, -0.8),
)


def ground(text: bool = True) -> Ground:
    lengths = torch.tensor([2, 9, 4, 1])
    vectors = text_vectors(N) if text else None
    return Ground(
        item_counts=COUNTS,
        train_lengths=lengths,
        thresholds=Thresholds(item=1, user=4),
        text=vectors,
        linear=lambda kind: LinearTerm(Rows.of_matrix(COSINES)),
    )


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    norms = a.norm() * b.norm()
    return float(a @ b / norms) if norms > 0 else 0.0


def by_hand(scorer: FakeScorer, policy: ScoringPolicy, row: int) -> Any:
    """The formula of the module's docstring for one user."""
    text, items = text_vectors(N), scorer.items
    history = [i for i in SEQUENCES[row].tolist() if i]
    user = scorer.represent(SEQUENCES[row : row + 1])[0]
    scores = []
    for item in range(1, N + 1):
        weight = policy.route_weight if COUNTS[item] < policy.route_threshold else 1.0
        co = float(user[:4] @ items[item, :4])
        se = float(user[4:] @ items[item, 4:])
        content = max(cosine(text[h], text[item]) for h in history)
        popular = math.log(1 + int(COUNTS[item]))
        together = policy.linear * math.log(1 + 10 * sum(COSINES[h, item] for h in history))
        of = dict.fromkeys(("collaborative", "semantic", "content", "linear"), 1.0) | {"bias": 0.0}
        if policy.weights is not None:
            knots = np.log1p(policy.weights.counts)
            of = {name: np.interp(popular, knots, getattr(policy.weights, name)) for name in of}
        own = weight * of["collaborative"] * co + of["semantic"] * se + of["bias"] + policy.popularity * popular
        scores.append(own + of["content"] * policy.gamma * content + of["linear"] * together)
    return np.array(scores)


@pytest.mark.parametrize(
    "policy",
    [
        ScoringPolicy(gamma=3.0),
        ScoringPolicy(route_threshold=12, route_weight=0),
        ScoringPolicy(gamma=0.7, route_threshold=20, route_weight=0.5),
        ScoringPolicy(popularity=-0.8),
        ScoringPolicy(gamma=0.7, route_threshold=20, route_weight=0.5, popularity=1.5),
        ScoringPolicy(linear=2.5),
        ScoringPolicy(weights=WEIGHTS),
        ScoringPolicy(gamma=0.7, linear=2.5, weights=WEIGHTS, popularity=-0.3),
        ScoringPolicy(gamma=0.7, linear=2.5, weights=WEIGHTS, route_threshold=12, route_weight=0.5),
    ],
)
def test_scores_are_the_formula(policy: ScoringPolicy) -> None:
    scorer = FakeScorer(N)
    scores = PolicyScorer(scorer, policy, ground()).score(SEQUENCES, USERS)
    assert scores.shape == (4, N + 1)
    for row in range(4):
        np.testing.assert_allclose(scores[row, 1:], by_hand(scorer, policy, row), rtol=1e-4, atol=1e-5)


def test_tail_users_only_leaves_head_users_bit_for_bit() -> None:
    scorer = FakeScorer(N)
    policy = ScoringPolicy(gamma=5, route_threshold=15, route_weight=0, tail_users_only=True)
    before = scorer.score(SEQUENCES, USERS)
    after = PolicyScorer(scorer, policy, ground()).score(SEQUENCES, USERS)
    head = ground().train_lengths >= 4
    assert head.tolist() == [False, True, True, False]
    assert torch.equal(after[head], before[head])
    everyone = PolicyScorer(scorer, policy.but(tail_users_only=False), ground()).score(SEQUENCES, USERS)
    assert torch.equal(after[~head], everyone[~head])
    assert not torch.allclose(after[~head][:, 1:], before[~head][:, 1:])


def test_fitted_weights_change_models_of_one_part_too() -> None:
    for scorer, name in ((Counts(COUNTS + 1), "collaborative"), (SemanticKnnScorer(text_vectors(N)), "semantic")):
        scores = PolicyScorer(scorer, ScoringPolicy(weights=WEIGHTS), ground()).score(SEQUENCES)
        weight, bias = (WEIGHTS.at(n, torch.log1p(COUNTS.float())) for n in (name, "bias"))
        assert weight is not None
        assert bias is not None
        torch.testing.assert_close(scores, scorer.score(SEQUENCES) * weight + bias)


def test_a_policy_says_what_it_does() -> None:
    policy = ScoringPolicy(gamma=2, linear=3, weights=WEIGHTS.but(tail_emphasis=0.5), popularity=-0.25)
    assert policy.describe() == "every part weighted by popularity (tail ×1.5), popularity weight −0.25"
    assert policy.but(weights=None).describe() == "content weight 2, linear weight 3 (cosines), popularity weight −0.25"
    assert ScoringPolicy.model_validate_json(policy.model_dump_json()) == policy
    assert hash(policy) == hash(ScoringPolicy.model_validate_json(policy.model_dump_json()))


def test_an_unknown_user_is_judged_by_the_history_given() -> None:
    at = ground()
    assert at.tail_users(SEQUENCES, None).tolist() == [True, True, False, True]
    assert at.tail_users(SEQUENCES, torch.tensor([-1, 1, -1, 0])).tolist() == [True, False, False, True]


def test_an_inert_policy_is_the_model_itself() -> None:
    scorer = FakeScorer(N)
    assert ScoringPolicy(route_threshold=9, route_weight=1).inert
    assert torch.equal(
        PolicyScorer(scorer, ScoringPolicy(), ground(text=False)).score(SEQUENCES), scorer.score(SEQUENCES)
    )


def test_the_content_term_asks_for_text() -> None:
    with pytest.raises(UserError, match="llmesr embed"):
        PolicyScorer(FakeScorer(N), ScoringPolicy(gamma=1), ground(text=False))


def test_models_with_one_view_or_none() -> None:
    route = ScoringPolicy(route_threshold=15, route_weight=0)
    rare = COUNTS < 15
    semantic = FakeScorer(N, views=("semantic",))
    assert torch.equal(PolicyScorer(semantic, route, ground()).score(SEQUENCES), semantic.score(SEQUENCES))
    for scorer in (FakeScorer(N, views=("collaborative",)), Counts(COUNTS + 1)):
        scores = PolicyScorer(scorer, route, ground()).score(SEQUENCES)
        assert (scores[:, rare] == 0).all()
        torch.testing.assert_close(scores[:, ~rare], scorer.score(SEQUENCES)[:, ~rare])
    knn = SemanticKnnScorer(text_vectors(N))
    assert torch.equal(PolicyScorer(knn, route, ground()).score(SEQUENCES), knn.score(SEQUENCES))


@pytest.mark.parametrize(
    "make", [lambda: FakeScorer(N), lambda: Counts(COUNTS), lambda: FakeScorer(N, views=("semantic",))]
)
def test_views_sum_to_the_score(make: Any) -> None:
    scorer = make()
    own = open_terms(scorer, ground(), [("collaborative", None), ("semantic", None)])
    torch.testing.assert_close(sum(term.score(SEQUENCES) for term in own.values()), scorer.score(SEQUENCES))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(1, N), max_size=6), min_size=1, max_size=5),
    extra=st.integers(0, 3),
    budget=st.sampled_from([0, 2**30]),
)
def test_padding_never_changes_the_content_term(rows: list[list[int]], extra: int, budget: int) -> None:
    width = max([len(r) for r in rows] + [1])
    short = torch.tensor([r + [0] * (width - len(r)) for r in rows])
    wide = torch.nn.functional.pad(short, (0, extra))
    term = ContentTerm(text_vectors(N), budget=budget)
    torch.testing.assert_close(term.score(wide), term.score(short))
    for row, history in enumerate(rows):
        expected = (term.text[history] @ term.text.T).amax(0) if history else torch.zeros(N + 1)
        torch.testing.assert_close(term.score(short)[row], expected)
        some = torch.tensor([[1, 5, N]]).expand(len(rows), -1)
        torch.testing.assert_close(term.of(short, some)[row], expected[some[0]])


def test_whitening_evens_out_the_directions_of_text() -> None:
    rng = np.random.default_rng(0)
    text = np.zeros((200, 5), np.float32)
    text[1:199] = rng.normal(size=(198, 5)) * (5, 3, 1, 1, 0.5) + (
        9,
        0,
        0,
        0,
        0,
    )  # a narrow cone; the last without text
    unit = text[1:199] / np.linalg.norm(text[1:199], axis=1, keepdims=True)
    spread = {s: np.linalg.eigvalsh(np.cov(np.asarray(whitened(text, s))[1:199].T, bias=True)) for s in (0.5, 1.0)}
    plain = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    np.testing.assert_allclose(spread[1.0], np.ones(5), rtol=1e-3)
    np.testing.assert_allclose(spread[0.5], np.sqrt(plain), rtol=1e-3)
    assert whitened(text, 0) is text
    for strength in (0.5, 1.0):
        evened = np.asarray(whitened(text, strength))
        assert not evened[[0, 199]].any()
    rank_one = whitened(np.array([[0, 0], [1, 1], [2, 2], [1, 0]], np.float32), 1.0)
    assert np.isfinite(np.asarray(rank_one)).all()


def test_a_whitened_policy_uses_the_whitened_space() -> None:
    scorer, policy = FakeScorer(N), ScoringPolicy(gamma=2, whitening=0.5)
    scores = PolicyScorer(scorer, policy, ground()).score(SEQUENCES)
    term = ContentTerm(whitened(text_vectors(N), 0.5))
    torch.testing.assert_close(scores, scorer.score(SEQUENCES) + 2 * term.score(SEQUENCES))


def test_rows_are_forgotten_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmesr.scoring.content.FEWEST", 3)
    small, large = ContentTerm(text_vectors(N), budget=0), ContentTerm(text_vectors(N))
    rng = np.random.default_rng(0)
    for _ in range(20):  # users of up to five items, while three rows fit
        rows = torch.from_numpy(rng.integers(1, N + 1, (4, 5)) * (np.arange(5) < rng.integers(0, 6, (4, 1))))
        torch.testing.assert_close(small.score(rows), large.score(rows))
    assert small._rows is not None
    assert small._rows.shape == (3, N + 1)


def test_a_policy_is_evaluated_like_any_scorer(tiny: Dataset) -> None:
    text = text_vectors(tiny.n_items)
    policed = PolicyScorer(FakeScorer(tiny.n_items), ScoringPolicy(gamma=2), Ground.of(tiny, text.numpy()))
    found = evaluate(policed, tiny, "valid")
    assert set(found.frame["protocol"]) == {"full", "uni100"}


def test_text_of_another_dataset_is_refused(tiny: Dataset) -> None:
    with pytest.raises(UserError, match=r"have 3 items.*'tiny' has"):
        Ground.of(tiny, np.zeros((4, 2), np.float32))
