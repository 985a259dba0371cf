"""Candidates scored exactly give the lists that scoring the whole catalogue gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from serving_doubles import WEIGHTS, FakeScorer, bare_run, text_vectors

from llmesr.data.batches import pad_histories
from llmesr.data.dataset import Dataset
from llmesr.ids import PAD
from llmesr.scoring import coarse, ground, product
from llmesr.scoring.content import ContentTerm
from llmesr.scoring.greatest import best
from llmesr.scoring.nearest_texts import AT_ONCE
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.shortlist import best_with_content
from llmesr.semantic.embed import Embedding
from llmesr.store import Store

N = 4000


class Large(ContentTerm):
    """As of a large catalogue: not all rows are kept."""

    @property
    def keeps_all(self) -> bool:
        return False


@pytest.mark.parametrize("k", [1, 7, 40, 200])
def test_the_best_of_blocks_are_the_best_of_all(k: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(k).normal(size=(5, N)).astype(np.float32))
    scores[0, :3900] = -torch.inf
    value, column = best(scores, k)
    expected = scores.topk(k, dim=1)
    assert torch.equal(value, expected.values)
    assert torch.equal(column[1:], expected.indices[1:])


@pytest.mark.parametrize("slope", ["rising", "of both signs", "steep", "none"])
def test_candidates_give_the_lists_of_the_whole_catalogue(slope: str) -> None:
    rng = np.random.default_rng(3)
    text = torch.from_numpy(rng.normal(size=(N + 1, 12)).astype(np.float32))
    text[[PAD, 5]] = 0  # an item without text
    term = ContentTerm(text, budget=1)
    assert not term.keeps_all
    drawn = torch.from_numpy(rng.normal(size=N + 1).astype(np.float32))
    weight = {"rising": drawn.abs(), "of both signs": 3 * drawn, "steep": drawn.abs() * 1000, "none": 0 * drawn}[slope]
    histories = [rng.integers(1, N + 1, length).tolist() for length in (3, 1, 30, 9)]
    sequences = pad_histories([*histories, [], [5]], 50)
    scores = torch.from_numpy(rng.normal(size=(6, N + 1)).astype(np.float32))
    scores[:, PAD] = scores[2, 7:200] = -torch.inf
    value, column = best_with_content(scores, weight, term, sequences, 10)
    expected = torch.addcmul(scores, weight, term.score(sequences)).topk(10, dim=1)
    torch.testing.assert_close(value, expected.values)
    assert torch.equal(column, expected.indices)


@pytest.mark.parametrize("halves", [False, True])
def test_what_is_listed_bounds_every_cosine(halves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "pays", lambda device: halves)
    text = torch.from_numpy(np.random.default_rng(4).normal(size=(300, 6)).astype(np.float32))
    text[PAD] = 0
    term = ContentTerm(text, budget=1)
    sequences = torch.tensor([[3, 9, 21], [40, 0, 0]])
    bound, owner, item, cosine = term.listed(sequences)
    most = bound[:, None].expand(2, 300).clone()
    for at, i, c in zip(owner.tolist(), item.tolist(), cosine.tolist(), strict=True):
        most[at, i] = max(float(most[at, i]), c)
    assert (term.score(sequences)[:, 1:] <= most[:, 1:] + 1e-6).all()
    assert (bound < 1).all()


def opened(store: Store, tiny: Dataset) -> ScoredRun:
    users = np.zeros((tiny.n_users, 6), np.float32)
    text = Embedding(tiny.manifest, text_vectors(tiny.n_items).numpy()[1:], users, tiny.catalogue["item_id"].to_numpy())
    return ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), embedding=text)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 1.5])
@pytest.mark.parametrize("tail_only", [False, True])
def test_a_server_lists_what_an_evaluation_ranks(
    tail_only: bool, gamma: float, halves: bool, store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether bounds are made in bfloat16 or not, with and without a content term; users of a batch
    twice, and a batch of which some rows are scored at a time."""
    monkeypatch.setattr(ground, "ContentTerm", Large)
    monkeypatch.setattr(coarse, "pays", lambda device: halves)
    monkeypatch.setattr("llmesr.scoring.shortlist.SHARE", 1.0)
    monkeypatch.setattr("llmesr.scoring.shortlist.FIRST", 4)
    monkeypatch.setattr(product, "AT_ONCE", 9 * (tiny.n_items + 1))
    policy = ScoringPolicy(
        gamma=gamma, linear=2.0, route_threshold=5, route_weight=0.25, weights=WEIGHTS, popularity=0.2
    )
    policy = policy.but(tail_users_only=tail_only)
    scored = opened(store, tiny)
    recommender = Recommender(scored)
    requests = [recommender.request(user, 10, policy) for user in (*range(20), 3, 3)]
    recommender.answer(requests[:7])  # what was summed up for a batch is gone before the next
    for request, answer in zip(requests, recommender.answer(requests), strict=True):
        sequence = pad_histories([list(request.history)], scored.max_length)
        scores = scored.under(policy).score(sequence, torch.tensor([request.user]))[0].clone()
        scores[[PAD, *request.history]] = -torch.inf
        expected = scores.topk(10)
        np.testing.assert_allclose(answer.scores, expected.values, rtol=1e-5, atol=1e-5)
        assert answer.items.tolist() == expected.indices.tolist()


def test_a_bound_in_halves_is_never_below_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    items, users = torch.randn(3000, 33, generator=rng) * 3, torch.randn(40, 33, generator=rng)
    fixed = torch.randn(3000, generator=rng) * 5
    monkeypatch.setattr(coarse, "pays", lambda device: True)
    made = product.Product(items, fixed, None, None)
    wide = torch.cat([users, torch.ones(40, 1)], 1)
    wide = torch.cat([wide, wide.norm(dim=1, keepdim=True)], 1)
    lengths = torch.cat([items, fixed[:, None]], 1).norm(dim=1, keepdim=True)
    bounding = torch.cat([items, fixed[:, None], lengths * coarse.ROUNDED], 1).bfloat16()
    upper, exact = (wide.bfloat16() @ bounding.T).float(), users @ items.T + fixed
    assert (upper >= exact).all()
    assert (upper <= exact + 2 * coarse.ROUNDED * wide[:, :-1].norm(dim=1)[:, None] * lengths.T).all()
    found = made.best(users, torch.ones(40, 1, dtype=torch.long), torch.tensor([[0, 7]]), 5, lambda rows: exact[rows])
    exact[:, PAD] = exact[0, 7] = -torch.inf
    torch.testing.assert_close(found[0], exact.topk(5).values)


def test_what_was_worked_out_beforehand_changes_nothing(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "ContentTerm", Large)
    policy = ScoringPolicy(gamma=1.5)
    cold, warm = Recommender(opened(store, tiny)), Recommender(opened(store, tiny))
    warm.prepare(policy)
    rounds = 0
    while warm.warm():
        rounds += 1
    assert rounds == -(-tiny.n_items // AT_ONCE)
    for user in range(5):
        cold_items, warm_items = (r.recommend(user, policy=policy)["item_id"].tolist() for r in (cold, warm))
        assert cold_items == warm_items
