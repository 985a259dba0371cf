"""A term asked for few items gives what it gives for the whole catalogue."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import torch
from factories import make_embedding
from serving_doubles import WEIGHTS

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.models.scorers import NeuralScorer
from llmesr.scoring import left_out
from llmesr.scoring.explanation import Asked, explain, explain_many
from llmesr.scoring.linear_term import LinearKind
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import TERMS, Key, Remembered, Separable, open_terms, picked
from llmesr.scoring.without import Without
from llmesr.store import Store
from llmesr.training.train import train

SEQUENCES = torch.tensor([[3, 9, 21, 9], [30, 1, 0, 0], [2, 0, 0, 0]])
EACH = torch.tensor([[1, 2, 2], [40, 5, 60], [7, 0, 3]])
SAME = torch.tensor([4, 4, 17, 1])


def scored(store: Store, data: Dataset, method: str, **settings: Any) -> ScoredRun:
    vectors = make_embedding(store, data)
    run = train(data, RunConfig.read(None, method=method, **settings), store, embedding=vectors)
    return ScoredRun(store, run, embedding=vectors)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("llm-init", {"epochs": 1}),
        ("item-knn", {}),
        ("text-ease", {}),
        ("text-ease", {"solver": "local", "neighbours": 8}),
        ("semantic-knn", {}),
    ],
)
def test_every_term_of_few_items(method: str, settings: dict[str, Any], store: Store, tiny: Dataset) -> None:
    run = scored(store, tiny, method, **settings)
    kinds = ("cosines", "ease")
    keys = [(name, None) for name in TERMS if name not in ("content", "linear")]
    terms = open_terms(run.scorer, run.ground, [*keys, ("content", 0.0), *(("linear", kind) for kind in kinds)])
    for key, term in terms.items():
        whole = term.score(SEQUENCES)
        for items in (EACH, SAME):
            real = items != 0 if items.dim() > 1 else torch.ones(3, 4, dtype=torch.bool)
            torch.testing.assert_close(
                term.of(SEQUENCES, items)[real], picked(whole, items)[real], rtol=1e-4, atol=1e-5, msg=str(key)
            )


@pytest.mark.parametrize("decay", [1.0, 0.7])
@pytest.mark.parametrize("key", [("content", 0.0), ("linear", "cosines"), ("linear", "ease")])
def test_a_history_without_each_of_its_items(key: Key, decay: float, store: Store, tiny: Dataset) -> None:
    run = scored(store, tiny, "llm-init", epochs=1)
    assert run.embedding is not None
    run.embedding.item_vectors[8] = run.embedding.item_vectors[20]  # two that are as close as one another
    if key[0] == "content":
        term: Separable = run.ground.content()
    else:
        term = dataclasses.replace(run.ground.linear(cast(LinearKind, key[1])), decay=decay)
    histories = [[3, 9, 21, 9], [30, 1], [2]]
    rows = Without.of(histories, [[9, 21, 3], [1, 30], [2]], "cpu")
    read = [[3, 9, 21, 9], [3, 21], [3, 9, 9], [9, 21, 9], [30, 1], [30], [1], [2], []]
    assert [[i for i in row if i] for row in rows.sequences.tolist()] == read
    assert rows.whole.tolist() == [0, 4, 7]
    weights = torch.tensor([0.5, 0.1, 2.0, 1.0])
    part, total = term.without(rows, EACH, SAME, weights)
    torch.testing.assert_close(part, term.of(rows.sequences, EACH[rows.owner]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total, term.of(rows.sequences, SAME) @ weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"backbone": "gru4rec"}, {"backbone": "bert4rec"}])
def test_a_model_reads_histories_without_each_of_their_items(
    settings: dict[str, Any], store: Store, tiny: Dataset
) -> None:
    """Some of them chosen twice, and one of which nothing is left."""
    run = scored(store, tiny, "id", epochs=1, **settings)
    assert isinstance(run.scorer, NeuralScorer)
    assert run.scorer.leaves_one_out == (not settings)
    rows = Without.of([[3, 9, 21, 9], [30, 1], [2]], [[9, 21, 3], [1, 30], [2]], "cpu")
    assert rows.gap.tolist() == [-1, -2, 2, 0, -1, 1, 0, -1, -2]
    read = Remembered(run.scorer).leave_one_out(rows)
    torch.testing.assert_close(read, run.scorer.represent(rows.sequences), rtol=1e-4, atol=1e-5)


def test_reasons_of_many_lists_are_those_of_each(store: Store, tiny: Dataset) -> None:
    run = scored(store, tiny, "llm-init", epochs=1)
    policy = ScoringPolicy(gamma=1.5, linear=2.0)
    asked = [Asked([3, 9, 21, 9, 30], [1, 2, 40], 3), Asked([7], [5]), Asked([1, 2], []), Asked([8, 2, 30], [60, 59])]
    for together, one in zip(explain_many(run, asked, run.under(policy)), asked, strict=True):
        alone = explain(run, one.history, one.items, policy, one.user)
        assert [e.item for e in together] == list(one.items) == [e.item for e in alone]
        for a, b in zip(together, alone, strict=True):
            assert a.score == pytest.approx(b.score, rel=1e-4)
            mine, other = ({r.item: r.value for r in e.reasons} for e in (a, b))
            assert mine == pytest.approx(other, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "policy",
    [
        ScoringPolicy(),
        ScoringPolicy(gamma=1.5, linear=2.0, popularity=0.3, weights=WEIGHTS),
        ScoringPolicy(gamma=1.5, weights=WEIGHTS, route_threshold=5, route_weight=0.2, tail_users_only=True),
    ],
)
def test_the_mean_of_the_catalogue_is_that_of_all_scores(policy: ScoringPolicy, store: Store, tiny: Dataset) -> None:
    policed = scored(store, tiny, "llm-esr", epochs=1).under(policy)
    histories = [[3, 9, 21, 9], [30, 1], [2]]
    rows = Without.of(histories, [[9, 21, 3], [1, 30], [2]], "cpu")
    users = torch.tensor([0, -1, 5])[rows.owner]
    _, mean = policed.without(rows, users, EACH, torch.arange(1, tiny.n_items + 1))
    expected = policed.score(rows.sequences, users)[:, 1:].double().mean(1)
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-5)


def test_what_a_model_and_popularity_add_needs_no_drawn_items(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored(store, tiny, "llm-esr", epochs=1)
    own = ScoringPolicy(popularity=0.3, weights=WEIGHTS)
    both = own.but(gamma=1.5)
    usual = {policy: explain(run, [3, 9, 21], [1, 40], policy) for policy in (own, both)}
    monkeypatch.setattr(left_out, "CATALOGUE", 7)
    left_out._drawn.cache_clear()
    drawn = {policy: explain(run, [3, 9, 21], [1, 40], policy) for policy in (own, both)}
    left_out._drawn.cache_clear()
    for policy, same in ((own, True), (both, False)):
        values = [[r.value for e in found[policy] for r in e.reasons] for found in (usual, drawn)]
        assert (values[0] == pytest.approx(values[1], rel=1e-6)) is same


@pytest.mark.parametrize("method", ["llm-esr", "semantic-knn"])
def test_lists_with_reasons_are_those_without(method: str, store: Store, tiny: Dataset) -> None:
    recommender = Recommender(scored(store, tiny, method, **({"epochs": 1} if method == "llm-esr" else {})))
    policy = ScoringPolicy(gamma=1.5, linear=2.0)
    histories: list[list[int] | int] = [[3, 9, 21, 9, 30], 4, [7], list(range(1, 40))]
    plain = recommender.answer([recommender.request(h, 5, policy) for h in histories])
    with_reasons = [recommender.request(h, 5, policy, explain=True) for h in histories]
    mixed = [*with_reasons[:2], recommender.request(histories[2], 5, policy), with_reasons[3]]
    for asked in (with_reasons, mixed):
        for answer, before, request in zip(recommender.answer(asked), plain, asked, strict=True):
            assert answer.items.tolist() == before.items.tolist()
            np.testing.assert_allclose(answer.scores, before.scores, rtol=1e-4)
            why = explain(recommender.scored, request.history, answer.items.tolist(), policy, request.user)
            for one, alone in zip(answer.reasons, why if request.explain else [], strict=True):
                mine, other = ({r.item: r.value for r in e.reasons} for e in (one, alone))
                assert mine == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_histories_read_by_length_are_represented_as_one_by_one(store: Store, tiny: Dataset) -> None:
    model = scored(store, tiny, "llm-init", epochs=1).scorer
    rng = np.random.default_rng(0)
    sequences = torch.zeros(64, 40, dtype=torch.int64)
    for row, length in enumerate(rng.integers(0, 41, 64)):
        sequences[row, :length] = torch.from_numpy(rng.integers(1, tiny.n_items + 1, length))
    together = model.represent(sequences)  # type: ignore[attr-defined]
    alone = torch.cat([model.represent(row[None]) for row in sequences])  # type: ignore[attr-defined]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
