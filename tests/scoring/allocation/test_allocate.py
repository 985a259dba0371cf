"""Weak users by a second ranker: the share chosen on validation, controls that gain nothing, and the stored run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_dataset, make_embedding

from llmesr.config import AllocationConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.progress import Progress, silent
from llmesr.runs.record import Run
from llmesr.scoring.again import evaluate_again
from llmesr.scoring.allocation.allocate import (
    ALLOCATED,
    RANDOM_ORDER,
    RANDOM_USERS,
    REPORT,
    allocate,
    best_share,
    by_share,
)
from llmesr.scoring.allocation.lists import Lists, Relisted, candidates
from llmesr.scoring.allocation.rankers import AtRandom, by_file, by_run
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Dataset, Run, Run]:
    """A shop with a run that knows little (popularity) and one that knows text and behaviour."""
    store = Store(tmp_path_factory.mktemp("allocation"))
    data = make(store, name="shop", users=400, items=80, seed=1)
    make_embedding(store, data)
    runs = [train(data, RunConfig(method=m, max_length=10), store) for m in ("popularity", "text-ease")]
    return store, data, runs[0], runs[1]


def config(**settings: Any) -> AllocationConfig:
    return AllocationConfig.read(None, **settings)


class Knowing:
    """Puts the target first for the weak half of the users: more than any real ranker knows."""

    name, paid = "knowing", False

    def __init__(self, dataset: Dataset, weak: np.ndarray) -> None:
        self.dataset, self.weak = dataset, weak

    def report(self) -> dict[str, Any]:
        return {}

    def order(self, lists: Lists, progress: Progress = silent) -> np.ndarray:
        target = np.zeros(self.dataset.n_users, np.int64)
        target[self.dataset.split.users(lists.part)] = self.dataset.split.targets(lists.part)
        hit = (lists.items == target[lists.users, None]) & self.weak[lists.users, None]
        return np.asarray(np.take_along_axis(lists.items, np.argsort(~hit, axis=1, kind="stable"), 1))


def test_the_best_share_by_hand() -> None:
    weak, gains = np.linspace(1, 0, 10).repeat(4), np.array([1.0, 1, 1, -1, 0, 0, 0, 0, 0, -1]).repeat(4)
    rows = by_share(weak, gains)
    assert [round(r["gain"], 3) for r in rows] == [0, 0.1, 0.2, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1]
    assert best_share(rows) == 0.3
    assert best_share([{"share": 0.0, "gain": 0, "error": 0}, {"share": 0.1, "gain": 0.03, "error": 0.02}]) == 0.0


def test_a_better_ranker_helps_weak_users_and_leaves_the_strong(made: tuple[Store, Dataset, Run, Run]) -> None:
    store, data, plain, better = made
    first, second = ScoredRun(store, plain), ScoredRun(store, better)
    found = allocate(first, by_run(second, first), config(share=0.5))
    assert found.run is not None
    assert set(found.frames) == {"run", ALLOCATED, RANDOM_ORDER, RANDOM_USERS}
    _, tests = found.evidence("full")
    difference = tests[tests["metric"] == "NDCG@10"].set_index(["run", "group"])["difference"]
    assert difference[ALLOCATED, "Weak User"] > 0
    assert difference[ALLOCATED, "Strong User"] == 0
    assert difference[RANDOM_ORDER, "Weak User"] < difference[ALLOCATED, "Weak User"]
    assert found.run.per_user().equals(found.frames[ALLOCATED])
    report = json.loads((found.run.folder / REPORT).read_text())
    assert report["share"] == found.share
    assert report["weak_users"] == int(found.weak[data.split.users("test")].sum())


def test_a_share_is_chosen_where_only_the_weak_gain(made: tuple[Store, Dataset, Run, Run]) -> None:
    store, data, _, run = made
    first = allocate(ScoredRun(store, run), AtRandom(3), config(share=0.3))
    found = allocate(ScoredRun(store, run), Knowing(data, first.weak), config())
    assert 0.2 <= found.share <= 0.3
    assert found.run is not None
    gained = found.frames[ALLOCATED]["rank"].to_numpy() - run.per_user().query("part == 'test'")["rank"].to_numpy()
    assert (gained[~found.weak[found.frames[ALLOCATED]["user"]]] == 0).all()
    assert (gained <= 0).all()


def test_chance_gains_nothing_and_nobody_is_handed_to_it(made: tuple[Store, Dataset, Run, Run]) -> None:
    store, _, _, run = made
    found = allocate(ScoredRun(store, run), AtRandom(0), config())
    assert found.share == 0
    assert found.run is None
    assert not found.weak.any()
    forced = allocate(ScoredRun(store, run), AtRandom(0), config(share=0.5))
    _, tests = forced.evidence("full", ["NDCG@10"])
    assert tests.set_index(["run", "group"])["difference"][ALLOCATED, "Weak User"] <= 0


@pytest.mark.parametrize(
    "change",
    [{"candidates": 5}, {"features": ["length"]}, {"share": 0.7}, {"seed": 4, "sample": 20}],
    ids=lambda c: next(iter(c)),
)
def test_every_setting_tells(change: dict[str, Any], made: tuple[Store, Dataset, Run, Run]) -> None:
    store, _, plain, better = made
    results = []
    for settings in ({"share": 0.3}, {"share": 0.3, **change} if "sample" not in change else change):
        second = by_run(ScoredRun(store, better), ScoredRun(store, plain))
        found = allocate(ScoredRun(store, plain), second, config(**settings))
        results.append((found.chosen, found.weak.tolist(), [f["rank"].tolist() for f in found.frames.values()]))
    assert results[0] != results[1]


def test_a_ranking_made_elsewhere_keeps_the_order_of_what_it_does_not_name(
    made: tuple[Store, Dataset, Run, Run], tmp_path: Path
) -> None:
    _, data, _, _ = made
    user = int(data.split.users("test")[0])
    ids = data.catalogue["item_id"].to_numpy()
    rows = [{"user_id": data.user_ids[user], "item_id": ids[i - 1], "score": 1.0 + i} for i in (7, 9)]
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(UserError, match="--validation FILE"):
        by_file(tmp_path / "mine.csv", None, data, config())
    second = by_file(tmp_path / "mine.csv", None, data, config(share=0.5))
    order = second.order(Lists("test", np.array([user]), np.array([[3, 7, 5, 9, 0]])))
    assert order.tolist() == [[9, 7, 3, 5, 0]]


def test_what_cannot_be_handed_over_is_refused(made: tuple[Store, Dataset, Run, Run], store: Store) -> None:
    root, _, plain, better = made
    first = ScoredRun(root, plain)
    with pytest.raises(UserError, match="its own lists"):
        by_run(first, first)
    other = make_dataset(store, name="other")
    elsewhere = ScoredRun(store, train(other, RunConfig(method="popularity"), store))
    with pytest.raises(UserError, match="is of dataset"):
        by_run(elsewhere, first)
    found = allocate(first, by_run(ScoredRun(root, better), first), config(share=0.5))
    assert found.run is not None
    with pytest.raises(UserError, match="no scores for other lists"):
        allocate(ScoredRun(root, found.run), AtRandom(0), config(share=0.5))
    with pytest.raises(UserError, match="give its file"):
        by_run(ScoredRun(root, found.run), first)


@pytest.mark.parametrize("tuned", [(), (0,), (0, 1)], ids=["plain", "first tuned", "both tuned"])
def test_an_allocated_run_recommends_in_the_order_it_was_evaluated_in(
    tuned: tuple[int, ...], made: tuple[Store, Dataset, Run, Run]
) -> None:
    store, data, plain, better = made
    runs = [better, plain]
    for side in tuned:
        runs[side] = derive(ScoredRun(store, runs[side]), ScoringPolicy(gamma=3.0 + side))
    first, second = (ScoredRun(store, run) for run in runs)
    found = allocate(first, by_run(second, first), config(share=0.4))
    assert found.run is not None
    opened = ScoredRun(store, found.run)
    again = evaluate(opened.scorer, data, "test", max_length=opened.max_length).frame
    stored = found.run.per_user()
    pd.testing.assert_frame_equal(
        again[list(stored)].reset_index(drop=True), stored.reset_index(drop=True), check_dtype=False
    )
    served = Recommender(opened)
    lengths = data.split.input_lengths("test")
    for weak in (True, False):
        users = [u for u in data.split.users("test") if found.weak[u] == weak and lengths[u] <= opened.max_length]
        for user in map(int, users[:20]):
            lists = candidates(first, "test", np.array([user]), 20)
            history = data.history(user)[: lengths[user]].tolist()
            unknown = served.answer([served.request(history, 20)])[0]
            assert unknown.items.tolist() == lists.items[0].tolist()  # a history of nobody: the list of the run
            expected = by_run(second, first).order(lists)[0] if weak else lists.items[0]
            request = replace(served.request(history, 20), user=user)
            answer = served.answer([request])[0]
            assert answer.items.tolist() == expected.tolist()
            np.testing.assert_allclose(sum(answer.parts.values()), answer.scores, rtol=1e-4, atol=1e-4)


def test_what_lies_beyond_the_reach_of_the_model_is_no_candidate(tmp_path: Path) -> None:
    """Of a history that is longer than what the runs read no list holds anything: neither do those that are judged."""
    store = Store(tmp_path)
    data = make(store, name="regulars", users=80, items=50, seed=2)
    runs = [train(data, RunConfig(method=m, max_length=2), store) for m in ("popularity", "ease")]
    first, second = (ScoredRun(store, run) for run in runs)
    asked = data.split.users("test")
    assert (data.split.input_lengths("test")[asked] > 4).any()
    found = allocate(first, by_run(second, first), config(share=1.0))
    assert found.run is not None
    lists = candidates(first, "test", asked, 20)
    ordered = lists.ordered(by_run(second, first).order(lists))
    meant = evaluate(Relisted(first.under(), ordered, data.n_users), data, "test", max_length=2).frame
    assert found.run.per_user("test")["rank"].tolist() == meant["rank"].tolist()
    served = evaluate(ScoredRun(store, found.run).scorer, data, "test", max_length=2).frame
    assert served["rank"].tolist() == meant["rank"].tolist()


def test_an_allocated_run_is_evaluated_again_where_it_was_made_of_runs(made: tuple[Store, Dataset, Run, Run]) -> None:
    store, _, plain, better = made
    first = ScoredRun(store, plain)
    run = allocate(first, by_run(ScoredRun(store, better), first), config(share=0.3)).run
    assert run is not None
    before, measured = run.per_user(), run.metrics()
    again = evaluate_again(run, "cpu")
    pd.testing.assert_frame_equal(again.per_user(), before)
    assert again.metrics() == measured
    by_chance = allocate(first, AtRandom(0), config(share=0.3)).run
    assert by_chance is not None
    with pytest.raises(UserError, match="as random order ordered them.*`llmesr allocate`"):
        evaluate_again(by_chance, "cpu")


def test_what_has_no_model_recommends_nothing(made: tuple[Store, Dataset, Run, Run]) -> None:
    store, _, plain, _ = made
    found = allocate(ScoredRun(store, plain), AtRandom(0), config(share=0.4))
    assert found.run is not None
    with pytest.raises(UserError, match="no trained model"):
        _ = ScoredRun(store, found.run).scorer
