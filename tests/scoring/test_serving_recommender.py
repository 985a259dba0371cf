"""The recommender against scores computed outright."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from serving_doubles import WEIGHTS, Counts, FakeScorer, bare_run, text_vectors

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.rerankers import RerankConfig
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.effect import effects
from llmesr.semantic.embed import Embedding
from llmesr.store import Store

POLICY = ScoringPolicy(gamma=1.5, route_threshold=5, route_weight=0.25)
FITTED = ScoringPolicy(gamma=1.5, linear=2.0, weights=WEIGHTS, popularity=0.2)


@pytest.fixture
def recommender(store: Store, tiny: Dataset) -> Recommender:
    vectors = text_vectors(tiny.n_items).numpy()[1:]
    users = np.zeros((tiny.n_users, 6), np.float32)
    made = Embedding(tiny.manifest, vectors, users, tiny.catalogue["item_id"].to_numpy())
    return Recommender(ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), embedding=made))


def test_the_best_unseen_items_come_first(recommender: Recommender) -> None:
    history = [3, 7, 7, 12]
    frame = recommender.recommend(history, k=5)
    scores = recommender.scorer.score(torch.tensor([history]))[0]
    scores[[0, *history]] = -torch.inf
    value, item = scores.topk(5)
    assert frame["item_id"].tolist() == recommender.dataset.catalogue["item_id"].iloc[item - 1].tolist()
    assert frame["title"].tolist() == recommender.dataset.catalogue["title"].iloc[item - 1].tolist()
    np.testing.assert_allclose(frame["score"], value, rtol=1e-5)
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5]
    counts = recommender.dataset.item_counts[item]
    assert frame["tail"].tolist() == recommender.dataset.thresholds.tail_items(counts).tolist()


@pytest.mark.parametrize(
    "policy", [ScoringPolicy(), POLICY, POLICY.but(tail_users_only=True), FITTED, FITTED.but(tail_users_only=True)]
)
@pytest.mark.parametrize("history", [[3, 7], list(range(1, 16))])
def test_the_parts_sum_to_the_score(recommender: Recommender, policy: ScoringPolicy, history: list[int]) -> None:
    frame = recommender.recommend(history, k=20, policy=policy)
    np.testing.assert_allclose(
        frame["collaborative"] + frame["semantic"] + frame["content"], frame["score"], rtol=1e-4, atol=1e-5
    )
    assert (frame["content"] != 0).any() == bool(policy.gamma and not (policy.tail_users_only and len(history) > 9))


def test_a_user_is_recommended_after_everything_they_chose(recommender: Recommender) -> None:
    user = int(recommender.dataset.split.users("test")[0])
    frame = recommender.recommend(user, k=4)
    assert frame.equals(recommender.recommend(recommender.dataset.history(user).tolist(), k=4))
    seen = recommender.recommend(user, k=recommender.dataset.n_items, exclude_seen=False)
    assert len(seen) == recommender.dataset.n_items
    everything = recommender.recommend(list(range(1, recommender.dataset.n_items + 1)), k=5)
    assert everything.empty


def test_a_batch_answers_as_one_by_one(recommender: Recommender) -> None:
    make = recommender.request
    requests = [
        make([1, 2], 3),
        make([5], 7, POLICY),
        make(0, 2, POLICY, RerankConfig(name="mmr", strength=0.5)),
        make([9, 8, 7], 4, None, RerankConfig(name="dpp", candidates=10), exclude_seen=False),
        make([2], 5),
    ]
    together = recommender.answer(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = recommender.answer([request])[0]
        assert answer.items.tolist() == alone.items.tolist()
        assert len(answer.items) == request.k
        np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-5)


def test_a_reranker_chooses_from_its_candidates(recommender: Recommender) -> None:
    plain = recommender.recommend([3, 7], k=20)
    mixed = recommender.recommend([3, 7], k=5, reranker=RerankConfig(name="mmr", strength=0.8, candidates=20))
    assert set(mixed["item_id"]) <= set(plain["item_id"])
    assert mixed["item_id"].tolist() != plain["item_id"].tolist()[:5]
    assert mixed["rank"].tolist() == [1, 2, 3, 4, 5]


def test_rank_of_agrees_with_the_list(recommender: Recommender) -> None:
    frame = recommender.recommend([3, 7], k=10, policy=POLICY)
    items = [recommender.dataset.item(i) for i in frame["item_id"]]
    assert [recommender.rank_of([3, 7], i, POLICY) for i in items] == list(range(1, 11))
    several = [None, POLICY, ScoringPolicy()]
    assert recommender.ranks_of([3, 7], 5, several) == [recommender.rank_of([3, 7], 5, policy) for policy in several]
    assert recommender.rank_of([3, 7], 3) >= 1  # an item of the history still has a rank


def test_models_without_views_still_explain(store: Store, tiny: Dataset) -> None:
    counts = torch.from_numpy(np.asarray(tiny.item_counts))
    popular = Recommender(ScoredRun(store, bare_run(store, tiny, "popularity"), scorer=Counts(counts)))
    frame = popular.recommend([1], k=3)
    assert (frame["collaborative"] == frame["score"]).all()
    assert popular.recommend([1], k=3, reranker=RerankConfig(name="calibrated")).shape == (3, 8)


def test_what_has_no_vectors_cannot_compare_items(store: Store, tiny: Dataset) -> None:
    counts = torch.from_numpy(np.asarray(tiny.item_counts))
    popular = Recommender(ScoredRun(store, bare_run(store, tiny, "popularity"), scorer=Counts(counts)))
    for name in ("mmr", "dpp"):
        with pytest.raises(UserError, match=f"{name} compares items by their vectors.*llmesr embed"):
            popular.recommend([1], k=3, reranker=RerankConfig(name=name))
        assert len(popular.recommend([1], k=3, reranker=RerankConfig(name=name, strength=0))) == 3
    assert {"mmr", "dpp"}.isdisjoint(effects(popular, k=3)["reranker"])
    assert len(effects(popular, k=50)) == len(effects(popular, k=3))  # lists longer than the catalogue


def test_bad_requests_are_said_in_a_sentence(store: Store, tiny: Dataset, recommender: Recommender) -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: recommender.recommend([0]), "no item 0"),
        (lambda: recommender.recommend([]), "empty"),
        (lambda: recommender.recommend([tiny.n_items + 1]), "no item"),
        (lambda: recommender.recommend(tiny.n_users), "no user"),
        (lambda: recommender.recommend([1], k=0), "at least 1"),
    ]
    for call, words in calls:
        with pytest.raises(UserError, match=words):
            call()
    with pytest.raises(UserError, match="items"):
        Recommender(ScoredRun(store, bare_run(store, tiny, "id"), scorer=FakeScorer(7)))


def test_without_text_the_content_term_says_what_to_run(store: Store, tiny: Dataset) -> None:
    bare = Recommender(ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items)))
    with pytest.raises(UserError, match="llmesr embed"):
        bare.recommend([1], policy=ScoringPolicy(gamma=1))
