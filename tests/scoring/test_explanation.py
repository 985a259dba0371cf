"""Why an item is recommended: exact parts for linear runs, leave-one-out for the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from factories import make_embedding
from serving_doubles import WEIGHTS, FakeScorer, bare_run

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.scoring.explanation import Explanation, Reason, explain, sentence
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.train import train

HISTORY = [3, 9, 21, 9, 30]
ITEMS = [1, 2, 40, 60]
POLICY = ScoringPolicy(gamma=1.5, linear=2.0, route_threshold=5, route_weight=0.25, weights=WEIGHTS, popularity=0.2)


def scored(store: Store, data: Dataset, method: str, **settings: Any) -> ScoredRun:
    if method == "ials":
        pytest.importorskip("implicit")
    vectors = make_embedding(store, data)
    return ScoredRun(store, train(data, RunConfig.read(None, method=method, **settings), store, embedding=vectors))


@pytest.mark.parametrize("policy", [None, POLICY, POLICY.but(tail_users_only=True)])
@pytest.mark.parametrize("method", ["item-knn", "markov", "ease", "text-ease", "ials"])
def test_parts_of_linear_runs_sum_to_the_score(
    method: str, policy: ScoringPolicy | None, store: Store, tiny: Dataset
) -> None:
    opened = scored(store, tiny, method)
    scores = opened.under(policy).score(torch.tensor([HISTORY]), torch.tensor([-1]))[0]
    for found in explain(opened, HISTORY, ITEMS, policy):
        assert found.kind == "exact"
        assert found.score == pytest.approx(float(scores[found.item]), rel=1e-4, abs=1e-5)
        total = sum(r.value for r in found.reasons) + sum(found.others.values())
        assert total == pytest.approx(found.score, rel=1e-6, abs=1e-9)
        assert sorted(r.item for r in found.reasons) == [3, 9, 21, 30]  # 9 once
        assert [r.value for r in found.reasons] == sorted((r.value for r in found.reasons), reverse=True)
        positive = [r.share for r in found.reasons if r.share > 0]
        speaking = sum(r.value for r in found.reasons if r.value > 0) + sum(v for v in found.others.values() if v > 0)
        assert sum(positive) == pytest.approx(sum(r.value for r in found.reasons if r.value > 0) / speaking)


def test_text_has_a_share_where_the_method_reads_it(store: Store, tiny: Dataset) -> None:
    read = explain(scored(store, tiny, "text-ease"), HISTORY, ITEMS)
    blind = explain(scored(store, tiny, "ease"), HISTORY, ITEMS)
    assert all(found.text_share is not None and 0 <= found.text_share <= 1 for found in [*read, *blind])
    assert any(found.text_share for found in read)
    assert not any(found.text_share for found in blind)


def test_a_weight_by_hand(store: Store, tiny: Dataset) -> None:
    """Two items of the history, the older one at decay 0.5: its weight halved, the newest one's whole."""
    opened = scored(store, tiny, "item-knn", decay=0.5, fallback="none")
    weights = opened.scorer.weights.whole()  # type: ignore[attr-defined]
    item = int((weights[3] * weights[9]).argmax())
    (found,) = explain(opened, [3, 9], [item])
    values = {r.item: r.value for r in found.reasons}
    assert values == pytest.approx({3: 0.5 * float(weights[3, item]), 9: float(weights[9, item])})
    assert found.others == {}


def test_leave_one_out_is_what_the_score_loses(store: Store, tiny: Dataset) -> None:
    model = FakeScorer(tiny.n_items)
    opened = ScoredRun(store, bare_run(store, tiny), scorer=model, dataset=tiny)
    (found,) = explain(opened, [3, 9, 21], [40])
    assert found.kind == "leave-one-out"
    assert found.text_share is None
    for reason in found.reasons:
        rest = [i for i in (3, 9, 21) if i != reason.item]
        both = model.score(torch.tensor([[3, 9, 21]])), model.score(torch.tensor([rest]))
        placed = [float(s[0, 40] - s[0, 1:].mean()) for s in both]
        assert reason.value == pytest.approx(placed[0] - placed[1], abs=1e-5)
    (alone,) = explain(opened, [3], [40])
    assert [(r.item, r.share) for r in alone.reasons] == [(3, 1.0)]


def test_only_what_the_model_reads_is_a_reason(store: Store, tiny: Dataset) -> None:
    opened = scored(store, tiny, "ease", max_length=2)
    (found,) = explain(opened, HISTORY, [1])
    assert sorted(r.item for r in found.reasons) == [9, 30]


def test_the_sentence_names_what_matters() -> None:
    reasons = (Reason(1, 0.5, 0.12, 0.62), Reason(3, 0.2, 0.01, 0.21), Reason(2, 0.001, 0.0, 0.001))
    found = Explanation("exact", 7, 0.83, reasons, {"popularity": 0.001}, 0.16)
    titles = ["Pen", "Ink", "A very long title of a paper " * 3]
    assert sentence(found, titles, longest=12) == "because of Pen 62%, A very long… 21%; 16% of it by text"
    bare = Explanation("exact", 7, 0.1, (Reason(2, 0.0, 0.0, 0.0),), {"popularity": 0.1}, 0.0)
    assert sentence(bare, titles) == "because of popularity alone"
    assert np.isclose(sum(r.value for r in reasons), 0.831)
    most = Explanation("exact", 7, 0.5, (Reason(1, 0.5, 0.0, 0.996), Reason(2, 0.002, 0.0, 0.004)), {}, 0.002)
    assert sentence(most, titles) == "because of Pen 100%"
