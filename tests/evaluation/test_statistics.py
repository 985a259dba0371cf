"""Comparisons of runs: alignment, seeds, groups, tests and the sentences made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import Table, dataset_of, frame_of

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.contrast import movers
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.values import per_user
from llmesr.evaluation.verdict import verdict, verdicts
from llmesr.prose import signed

THRESHOLDS = Thresholds(item=5, user=5)
USERS = 400


def world(tail_hit: float, head_hit: float, seed: int = 0) -> pd.DataFrame:
    """400 users, half with tail targets; a hit is rank 3, a miss rank 50."""
    popularity = np.tile([1, 10], USERS // 2)
    rng = np.random.default_rng(seed)
    hit = rng.random(USERS) < np.where(popularity < 5, tail_hit, head_hit)
    return frame_of(np.where(hit, 3, 50), popularity=popularity, length=np.repeat([2, 9], USERS // 2))


def row(table: Any, run: Any, group: Any, metric: Any = "HR@10") -> Any:
    return table[(table["run"] == run) & (table["group"] == group) & (table["metric"] == metric)].iloc[0]


def test_values_average_seeds_per_user_and_align_by_user() -> None:
    first, second = frame_of([1, 20, 3]), frame_of([1, 1, 20]).sample(frac=1, random_state=1)
    data = per_user({"a": [first, second]}, ["HR@10"], "full", "test")
    assert data.values["a"].shape == (2, 3, 1)
    assert data.mean("a")[:, 0].tolist() == [1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("user_id", "x", "users"),
        ("target_id", "i9", "split"),
        ("target_popularity", 7, "counts"),
        ("candidates", 3, "candidates"),
    ],
)
def test_runs_of_different_data_are_refused_with_the_reason(column: Any, value: Any, what: Any) -> None:
    other = frame_of([1, 2, 3])
    other[column] = value
    with pytest.raises(UserError, match=f"'a' and 'b'.*{what}"):
        per_user({"a": [frame_of([1, 2, 3])], "b": [other]}, ["HR@10"], "full", "test")
    with pytest.raises(UserError, match="users"):
        per_user({"a": [frame_of([1, 2, 3])], "b": [frame_of([1, 2])]}, ["HR@10"], "full", "test")


def test_other_negatives_are_refused_even_after_storing(tmp_path: Path) -> None:
    frames = []
    for seed in (42, 43):
        data = dataset_of([[1, 2, 3], [3, 2, 1]], n_items=9, seed=seed)
        frame = evaluate(Table(np.zeros((2, 10))), data, "test").frame
        frame.to_parquet(tmp_path / f"{seed}.parquet", index=False)
        frames.append(pd.read_parquet(tmp_path / f"{seed}.parquet"))
    with pytest.raises(UserError, match=r"seed of the uni100 negatives differs \(42 and 43\)"):
        per_user({"a": frames[:1], "b": frames[1:]}, ["HR@10"], "uni100", "test")


def test_summary_holds_means_intervals_and_the_spread_of_seeds() -> None:
    seeds = [world(0.2, 0.4, seed) for seed in (1, 2, 3)]
    table = summary({"id": seeds, "one": seeds[:1]}, THRESHOLDS)
    tail = row(table, "id", "Tail Item")
    means = [(s["rank"] <= 10)[s["target_popularity"] < 5].mean() for s in seeds]
    assert tail["value"] == pytest.approx(np.mean(means))
    assert tail["spread"] == pytest.approx(np.std(means, ddof=1))
    assert (tail["seeds"], tail["users"]) == (3, 200)
    assert tail["low"] < tail["value"] < tail["high"]
    alone = row(table, "one", "Tail Item")
    assert np.isnan(alone["spread"])
    assert alone["high"] - alone["low"] > tail["high"] - tail["low"]  # averaging seeds removes their noise
    assert row(table, "one", "Overall", "NDCG@10")["value"] == pytest.approx(
        row(table, "one", "Overall")["value"] / 2  # 1 / log2(4)
    )


def test_a_gain_on_the_tail_is_found_where_it_is() -> None:
    table = compare({"id": [world(0.1, 0.5, 1)], "llm-esr": [world(0.4, 0.5, 2)]}, THRESHOLDS)
    tail, head = row(table, "llm-esr", "Tail Item"), row(table, "llm-esr", "Head Item")
    assert tail["significant"]
    assert tail["p_adjusted"] < 0.01
    assert tail["low"] > 0
    assert tail["better"] > tail["worse"]
    assert tail["difference"] == pytest.approx((tail["better"] - tail["worse"]) / 200)
    assert tail["relative"] == pytest.approx(tail["difference"] / (world(0.1, 0.5, 1)["rank"][::2] <= 10).mean())
    assert not head["significant"]
    assert head["low"] < 0 < head["high"]
    sentence = verdict(table[table["metric"] == "HR@10"], []).sentence()
    assert sentence.startswith("Better overall (+0.")
    assert "on tail items (+0.3" in sentence or "on tail items (+0.2" in sentence
    ends = f"between {signed(head['low'])} and {signed(head['high'])}"
    assert sentence.endswith(f"no clear difference on head items ({signed(head['difference'])} HR@10, {ends}).")


def test_swapping_the_baseline_mirrors_the_comparison() -> None:
    runs = {"a": [world(0.1, 0.5, 1)], "b": [world(0.3, 0.4, 2)]}
    forth, back = compare(runs, THRESHOLDS), compare(runs, THRESHOLDS, baseline="b")
    assert set(back["run"]) == {"a"}
    for column in ("difference", "effect", "rank_biserial"):
        assert forth[column].to_numpy() == pytest.approx(-back[column].to_numpy())
    assert forth["p_permutation"].to_numpy() == pytest.approx(back["p_permutation"].to_numpy())


def test_effect_sizes_by_hand() -> None:
    base = frame_of([50, 50, 50, 50, 1], length=9, popularity=9)
    run = frame_of([1, 2, 50, 50, 50], length=9, popularity=9)
    table = compare({"base": [base], "run": [run]}, THRESHOLDS, metrics=["MRR@10"])
    overall = row(table, "run", "Overall", "MRR@10")
    d = np.array([1, 0.5, 0, 0, -1])
    assert overall["difference"] == pytest.approx(0.1)
    assert overall["effect"] == pytest.approx(d.mean() / d.std(ddof=1))
    assert overall["rank_biserial"] == pytest.approx((2.5 + 1 - 2.5) / 6)
    assert (overall["better"], overall["worse"], overall["users"]) == (2, 1, 5)
    assert row(table, "run", "Tail Item", "MRR@10")["warning"] == "no users in this group"
    assert np.isnan(row(table, "run", "Tail Item", "MRR@10")["p_adjusted"])
    assert "only 5 users" in overall["warning"]


def test_a_run_against_itself_differs_nowhere() -> None:
    runs = {"a": [world(0.1, 0.5, 1)], "b": [world(0.1, 0.5, 1)]}
    table = compare(runs, THRESHOLDS, groups="all")
    assert (table["difference"] == 0).all()
    assert (table["p_adjusted"] == 1).all()
    assert not table["significant"].any()
    sentence = "Exactly the same overall, on tail items and on head items."
    found = verdict(table[table["metric"] == "HR@10"], [], ["Overall", "Tail Item", "Head Item"])
    assert found.sentence() == sentence


def test_adjustment_covers_every_test_of_the_table() -> None:
    runs = {"id": [world(0.2, 0.5, 1)]} | {f"r{i}": [world(0.2, 0.5, 10 + i)] for i in range(5)}
    table = compare(runs, THRESHOLDS)
    assert (table["p_adjusted"] >= table["p_permutation"]).all()
    assert len(table) == 5 * 5 * 2
    assert not table["significant"].any()


def test_verdicts_one_per_run_and_metric() -> None:
    runs = {"id": [world(0.1, 0.9, 1)], "x": [world(0.5, 0.3, 2)], "y": [world(0.1, 0.9, 1)]}
    found = verdicts(compare(runs, THRESHOLDS, metrics=["HR@10"]), [])
    assert [v.run for v in found] == ["x", "y"]
    assert found[0].sentence().startswith("Better on tail items (+0.")
    assert "worse on head items (−0." in found[0].sentence()
    with pytest.raises(ValueError, match="one run"):
        verdict(compare(runs, THRESHOLDS), [])


def test_asking_for_what_is_not_there() -> None:
    with pytest.raises(UserError, match="at least two"):
        compare({"a": [world(0.1, 0.2)]}, THRESHOLDS)
    with pytest.raises(UserError, match=r"baseline 'z'.*: a, b"):
        compare({"a": [world(0.1, 0.2)], "b": [world(0.1, 0.2)]}, THRESHOLDS, baseline="z")
    with pytest.raises(UserError, match="uni100"):
        summary({"a": [world(0.1, 0.2)]}, THRESHOLDS, protocol="uni100")


def test_few_differences_are_not_judged() -> None:
    base = world(0.5, 0.5, 1)
    other = base.assign(rank=base["rank"].where(base["user"] > 5, 53 - base["rank"]))  # the first six users swap
    table = compare({"a": [base], "b": [other]}, THRESHOLDS, metrics=["HR@10"])
    assert row(table, "b", "Overall")["warning"] == "only 6 users with a difference: too few to judge"
    assert verdict(table, [], ["Overall"]).sentence() == "Too little data to judge overall (400 users)."
    assert verdict(table, [], ["Head User"]).sentence() == "Exactly the same for head users."


def test_several_targets_of_a_user_are_one_observation() -> None:
    """What a group is worth to a user is a value of those of the targets that are in it."""
    owner = [0, 0, 1, 2, 2]
    popularity = [9, 0, 9, 0, 0]  # user 0 has a head and a cold target
    before, after = (
        frame_of(ranks, popularity=popularity, length=5).assign(user=owner, user_id=[f"u{u}" for u in owner])
        for ranks in ([1, 99, 50, 99, 99], [1, 2, 50, 1, 99])
    )
    cut = Thresholds(item=4, user=3)
    made = summary({"before": [before], "after": [after]}, cut, metrics=["Recall@10"]).set_index(["run", "group"])
    assert made["value"]["before", "Overall"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert made["value"]["after", "Overall"] == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert made["value"]["after", "Head Item"] == pytest.approx((1 + 0) / 2)
    assert made["value"]["after", "Cold Item"] == pytest.approx((1 + 1 / 2) / 2)
    assert made["users"]["after", "Cold Item"] == 2
    tests = compare({"before": [before], "after": [after]}, cut, metrics=["Recall@10"]).set_index("group")
    assert tests["difference"]["Overall"] == pytest.approx((1 / 2 + 1 / 2) / 3)
    assert tests["difference"]["Cold Item"] == pytest.approx((1 + 1 / 2) / 2)
    assert (tests["better"]["Overall"], tests["better"]["Head Item"], tests["users"]["Head Item"]) == (2, 0, 2)
    moved = movers([before], [after], metric="Recall@10")
    assert moved["user"].tolist() == [2, 0, 1]
    assert moved["rank_after"].tolist() == pytest.approx([1, 1, 50])
