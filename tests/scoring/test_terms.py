"""A term that is added to the table, in one place, is scored, split off, fitted, given a unit and shown."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from serving_doubles import FakeScorer, bare_run, text_vectors
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import TERMS, Term
from llmesr.scoring.tuning.grid import rank_grid
from llmesr.scoring.tuning.outcome import PolicyTuningConfig, load_tuned_policy
from llmesr.scoring.tuning.search import tune_policy
from llmesr.scoring.units import Units
from llmesr.semantic.embed import Embedding
from llmesr.store import Store
from llmesr.views.compare.scoring_charts import weights_chart, weights_frame


class Parity:
    """1 for items whose number is as even or odd as the length of the history."""

    def __init__(self, n_items: int) -> None:
        self.items = torch.arange(n_items + 1)

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return ((sequences != PAD).sum(1, keepdim=True) % 2 == self.items % 2).float()

    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        scores = self.score(sequences)
        return scores[:, items] if items.dim() == 1 else scores.gather(1, items)


@pytest.fixture
def scored(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> ScoredRun:
    """A run, while the table has one term more."""
    toy = Term("toy", "toy", lambda scorer, ground, variant: Parity(scorer.n_items), "toy", column="semantic")
    monkeypatch.setitem(TERMS, "toy", toy)
    vectors, users = text_vectors(tiny.n_items).numpy()[1:], np.zeros((tiny.n_users, 6), np.float32)
    text = Embedding(tiny.manifest, vectors, users, tiny.catalogue["item_id"].to_numpy())
    return ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), embedding=text)


def test_a_new_term_is_scored_and_split_off(scored: ScoredRun) -> None:
    policy = ScoringPolicy.read(None, toy=2.5, gamma=1.0, popularity=0.3)
    sequences = torch.tensor([[3, 7, 0], [5, 0, 0]])
    parity = Parity(scored.scorer.n_items)
    without = scored.under(policy.but(toy=0.0)).score(sequences)
    torch.testing.assert_close(scored.under(policy).score(sequences), without + 2.5 * parity.score(sequences))

    recommender = Recommender(scored)
    answer = recommender.answer([recommender.request([3, 7], 12, policy)])[0]
    assert list(answer.parts) == ["collaborative", "semantic", "content", "popularity", "toy"]
    np.testing.assert_allclose(answer.parts["toy"], 2.5 * (answer.items % 2 == 0))
    np.testing.assert_allclose(sum(answer.parts.values()), answer.scores, rtol=1e-5, atol=1e-5)
    columns = answer.columns()
    np.testing.assert_allclose(columns["semantic"], answer.parts["semantic"] + answer.parts["toy"])
    np.testing.assert_allclose(sum(columns.values()), answer.scores, rtol=1e-5, atol=1e-5)


def test_a_new_term_is_part_of_the_grid_and_the_fit(scored: ScoredRun) -> None:
    strong = ScoringPolicy.read(None, toy=1e4)
    ranks = rank_grid(scored, [ScoringPolicy(), strong], scored.dataset.split.users("valid"))
    assert (ranks["full"][0] != ranks["full"][1]).any()

    tuned = tune_policy(scored, PolicyTuningConfig(gammas=(0.0,), popularities=(), emphases=(0.0, 1.0)))
    fitted = [p.policy for p in tuned.points if p.policy.weights is not None]
    assert {len(p.weights.curves["toy"]) == len(p.weights.counts) for p in fitted if p.weights} == {True}
    plain, toy = ScoringPolicy(), TERMS["toy"]
    assert plain.weight(toy) == 0
    assert all(p.weight(toy) == pytest.approx(Units(scored).of("toy"), rel=0.2) for p in fitted)  # of other users
    assert load_tuned_policy(scored.run) == tuned


def test_a_new_term_is_shown(scored: ScoredRun) -> None:
    policy = ScoringPolicy.read(None, toy=2.5)
    assert policy.describe() == "toy weight 2.5"
    assert ScoringPolicy.model_validate_json(policy.model_dump_json()) == policy
    assert policy != ScoringPolicy()
    tuned = tune_policy(scored, PolicyTuningConfig(gammas=(0.0,), popularities=(), emphases=(0.0,)))
    weights = next(p.policy.weights for p in tuned.points if p.policy.weights is not None)
    assert "toy" in weights_frame(weights)
    assert "toy" in [trace.name for trace in weights_chart(weights, 5).data] or not any(weights.curves["toy"])


def test_only_terms_of_the_table_have_settings() -> None:
    with pytest.raises(UserError, match="Unknown setting 'toy'. Known: gamma"):
        ScoringPolicy.read(None, toy=1.0)
    with pytest.raises(ValueError, match="toy"):
        ScoringPolicy.model_validate_json(json.dumps({"weights": {"counts": [1], "toy": [1.0]}}))
    assert "toy" not in json.dumps(ScoringPolicy.model_json_schema())
    assert ScoringPolicy.model_json_schema()["additionalProperties"] is False


def test_policies_written_before_are_read() -> None:
    old: dict[str, Any] = {
        "gamma": 4.37,
        "whitening": 0.5,
        "route_threshold": 0,
        "route_weight": 0.0,
        "popularity": 0.0,
        "linear": 1.24,
        "linear_kind": "cosines",
        "weights": {
            "counts": [1, 5],
            "collaborative": [1.0, 1.0],
            "semantic": [0.3, 0.2],
            "content": [0.1, 0.0],
            "linear": [0.2, 0.6],
            "bias": [-0.08, 0.27],
            "tail_emphasis": 0.5,
        },
        "tail_users_only": False,
    }
    read = ScoringPolicy.model_validate_json(json.dumps(old))
    assert read.model_dump(mode="json") == old
    # Before the linear term had kinds, it was called by the only one it had.
    old["cooccurrence"], old["weights"]["cooccurrence"] = old.pop("linear"), old["weights"].pop("linear")
    del old["linear_kind"]
    assert ScoringPolicy.model_validate_json(json.dumps(old)) == read


def test_outcomes_of_tuning_written_before_are_read() -> None:
    assert PolicyTuningConfig.read(None, cooccurrence=True).linear_kinds == ("cosines",)
    assert PolicyTuningConfig.read(None, cooccurrence=False).linear_kinds == ()
    assert PolicyTuningConfig().linear_kinds == ("cosines", "ease", "text-ease")
