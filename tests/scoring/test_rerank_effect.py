"""The measured effect of re-rankers against the evaluator and against their own promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from serving_doubles import FakeScorer, bare_run, text_vectors

from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import evaluate
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.rerankers import RerankConfig
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.effect import effects
from llmesr.semantic.embed import Embedding
from llmesr.store import Store


@pytest.fixture
def recommender(store: Store, tiny: Dataset) -> Recommender:
    vectors = text_vectors(tiny.n_items, size=24).numpy()[1:]
    made = Embedding(tiny.manifest, vectors, np.zeros((tiny.n_users, 24), np.float32), tiny.catalogue["item_id"])
    return Recommender(ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items), embedding=made))


def test_without_a_reranker_it_is_the_evaluation(recommender: Recommender, tiny: Dataset) -> None:
    frame = effects(recommender, [RerankConfig(), RerankConfig(name="mmr", strength=0)])
    ranks = evaluate(recommender.scorer, tiny, "test", max_length=10).frame
    rank = ranks.loc[ranks["protocol"] == "full", "rank"].to_numpy()
    assert frame["HR@10"][0] == pytest.approx((rank <= 10).mean())
    assert frame["NDCG@10"][0] == pytest.approx(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean())
    assert frame["users"][0] == len(tiny.split.users("test"))
    pd.testing.assert_series_equal(frame.iloc[0, 3:], frame.iloc[1, 3:], check_names=False)


def test_each_reranker_moves_what_it_promises(recommender: Recommender) -> None:
    configs = [RerankConfig(name=n, strength=0.9, candidates=40) for n in ("mmr", "dpp", "ucb", "epsilon")]
    frame = effects(recommender, [RerankConfig(), *configs], users=60).set_index("reranker")
    assert (frame["users"] == 60).all()
    assert frame["ILD@10"]["mmr"] > frame["ILD@10"]["none"]
    assert frame["ILD@10"]["dpp"] > frame["ILD@10"]["none"]
    assert frame["ARP@10"]["ucb"] < frame["ARP@10"]["none"]
    assert frame["Novelty@10"]["ucb"] > frame["Novelty@10"]["none"]
    assert frame["Gini@10"]["epsilon"] < frame["Gini@10"]["none"]
