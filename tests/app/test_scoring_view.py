"""The Scoring view of the Compare page: tuning is submitted, the front shown by its numbers, a point chosen."""

from __future__ import annotations

from typing import Any

import pytest
from explorer import healthy, opened, tables, words

from llmesr.data.dataset import load_dataset
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.runs.record import Run, list_runs
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import PolicyTuningConfig, load_tuned_policy
from llmesr.scoring.tuning.search import tune_policy
from llmesr.store import Store
from llmesr.views.cache.protagonists import protagonists

pytest_plugins = ("explorer",)
SMALL = PolicyTuningConfig(
    gammas=(0.0, 0.3, 0.9), thresholds=(2.0,), weights=(0.5,), popularities=(-0.1, 0.2), refined=2
)


def run_of(store: Store, method: str) -> Run:
    return next(r for r in list_runs(store) if r.config.method == method)


def scoring(run: str) -> Any:
    return opened("compare", view="scoring", tuned=run)


def test_it_opens_on_the_recommender_with_text_of_the_overview(trained: Store) -> None:
    app = opened("compare", view="scoring")
    _, reading = protagonists(trained, load_dataset(trained, "shop").id)
    assert reading is not None
    assert app.selectbox(key="pick.tuned").value == reading.ids[0]


def test_an_untuned_run_offers_to_be_tuned(trained: Store, started: list[Job]) -> None:
    run, other = run_of(trained, "llm-esr"), run_of(trained, "id")
    app = scoring(run.id)
    assert healthy(app), words(app)
    assert "has not been tuned yet" in words(app)
    app.selectbox(key="policy.objective").set_value("tail").run()
    app.selectbox(key="policy.reference").set_value(other.id).run()
    next(b for b in app.button if b.label == "Tune on validation").click().run()
    (job,) = started
    assert job.record.steps[0].command[:2] == ["tune", run.id]
    assert {"objective=tail", f"reference={other.id}"} <= set(job.record.steps[0].command)
    assert f"runs/{run.id}" in job.artifacts
    assert any(b.label == "Stop" for b in app.button)
    assert Jobs(trained).using("runs", run.id), "a run that is being tuned cannot be deleted"


def test_the_front_is_shown_and_a_point_is_taken(trained: Store, started: list[Job]) -> None:
    run = run_of(trained, "llm-esr")
    tuned = tune_policy(ScoredRun(trained, run), SMALL)
    app = scoring(run.id)
    assert healthy(app), words(app)
    (front,) = tables(app, "point", "policy", "front")
    assert len(front) == len(tuned.points)
    assert front["Tail Item"].tolist() == pytest.approx([p.metrics["full/Tail Item/NDCG@10"] for p in tuned.points])
    other = next(i for i in front.loc[front["front"], "point"] if i != tuned.chosen)
    next(s for s in app.selectbox if s.label == "Policy").set_value(other).run()
    (change,) = tables(app, "Group", "After")
    values = change.set_index("Group").loc["Overall"]
    assert values["Before"] == pytest.approx(tuned.points[0].metrics["full/Overall/NDCG@10"])
    assert values["After"] == pytest.approx(tuned.points[other].metrics["full/Overall/NDCG@10"])
    next(b for b in app.button if b.label == "Use this policy").click().run()
    assert started[0].record.steps[0].command == ["tune", run.id, "--point", str(other), "--json"]
    assert load_tuned_policy(run) == tuned  # the job changes it, not the page


def test_fitted_weights_are_shown_by_popularity(trained: Store) -> None:
    run = run_of(trained, "llm-esr")
    tuned = tune_policy(ScoredRun(trained, run), SMALL)
    fitted = next(i for i, p in enumerate(tuned.points) if p.policy.weights)
    tuned.choose(fitted).save(run)
    app = scoring(run.id)
    assert healthy(app), words(app)
    (curves,) = tables(app, "Training interactions", "collaborative", "bias")
    weights = tuned.points[fitted].policy.weights
    assert weights is not None
    assert curves["Training interactions"].tolist() == list(weights.counts)
    assert curves["content"].tolist() == pytest.approx(weights.content)
    next(s for s in app.selectbox if s.label == "Policy").set_value(0).run()
    assert not tables(app, "Training interactions", "collaborative", "bias")


def test_a_damaged_policy_is_said(trained: Store) -> None:
    run = run_of(trained, "llm-esr")
    (run.folder / "policy.json").write_text("{")
    app = scoring(run.id)
    assert not app.exception
    assert "llmesr tune" in words(app)
    assert load_dataset(trained, "shop").n_items
