"""Slices by columns of items and users, and the search: what is planted is found, what is chance is not."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import frame_of
from factories import make_dataset

from llmesr.config import COLD, SplitConfig
from llmesr.data.groups import Thresholds
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.evaluation import slices as module
from llmesr.evaluation.slice_columns import column_slices, target_times
from llmesr.evaluation.slices import permutation_test, search, slices, target_values
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.table import Group
from llmesr.store import Store

SIMULATIONS = 200
CUTS = SplitConfig(kind="temporal", targets="all", valid_from=0.5, test_from=0.7)


def by_name(groups: list[Group]) -> dict[str, list[bool]]:
    return {f"{g.dimension}: {g.name}": g.members.tolist() for g in groups}


def test_values_of_a_column_are_slices_and_lists_count_for_each_entry() -> None:
    genres = pd.Series(["Crime; Drama", "Drama", "", "Crime", "Rare"])
    found = by_name(column_slices("genres", genres, fewest=2))
    assert found == {
        "genres: Crime": [True, False, False, True, False],
        "genres: Drama": [True, True, False, False, False],
    }


def test_numbers_become_bands_with_their_ends() -> None:
    prices = pd.Series([f"${p}.5" for p in range(100)] + [""])
    found = column_slices("price", prices, fewest=5)
    assert [g.name for g in found] == ["0.5 to 19.5", "20.5 to 39.5", "40.5 to 59.5", "60.5 to 79.5", "80.5 to 99.5"]
    assert [int(g.members.sum()) for g in found] == [20] * 5


def test_typed_columns_of_users_are_read_as_they_are() -> None:
    ages = pd.Series([18.0, 34.0, None, 18.0, 34.0])
    assert by_name(column_slices("user age", ages, fewest=2)) == {
        "user age: 18": [True, False, False, True, False],
        "user age: 34": [False, True, False, False, True],
    }
    many = pd.Series(range(100), dtype="Int64").shift()  # the first is missing
    bands = column_slices("user income", many, fewest=5)
    assert bands[0].name == "0 to 19"
    assert sum(int(g.members.sum()) for g in bands) == 99


def test_a_column_in_which_no_two_agree_is_no_slice() -> None:
    titles = pd.Series([f"title {i}" for i in range(95)] + ["again"] * 5)
    assert column_slices("title", titles, fewest=5) == []
    assert column_slices("nothing", pd.Series([""] * 50), fewest=5) == []


def test_slices_are_of_the_targets_and_of_their_users() -> None:
    rows = frame_of([1] * 8, popularity=np.array([0, 0, 0, 0, 9, 9, 9, 9]), length=np.array([2, 2, 2, 2, 9, 9, 9, 9]))
    rows["target"] = [1, 1, 1, 2, 2, 2, 3, 3]
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"], "brand": ["x", "y", "y"]})
    users = pd.DataFrame({"user_id": rows["user_id"].iloc[::-1], "region": ["north"] * 4 + ["south"] * 4})
    found = by_name(slices(rows, Thresholds(item=5, user=5), items, users, fewest=3))
    assert found["brand: x"] == [True] * 3 + [False] * 5
    assert found["brand: y"] == [False] * 3 + [True] * 5
    assert found["user region: south"] == [True] * 4 + [False] * 4
    assert found[f"item popularity: {COLD}"] == found["history length: 2"] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("config", [SplitConfig(), CUTS], ids=["leave-one-out", "temporal"])
def test_targets_are_slices_by_the_time_they_were_chosen(store: Store, config: SplitConfig) -> None:
    dataset = make_dataset(store, users=200, items=40)
    dataset = dataset if config == SplitConfig() else resplit(dataset, config, store)
    users, targets = dataset.split.pairs("test")
    rows = frame_of([1] * len(users)).assign(user=users, target=targets)
    times = target_times(dataset, rows)
    assert times is not None
    assert dataset.timestamps is not None
    for row in rng_rows(len(users)):
        start, read = dataset.offsets[users[row]], dataset.split.input_lengths("test")[users[row]]
        chosen = dataset.items[start + read : dataset.offsets[users[row] + 1]].tolist()
        assert times[row] == dataset.timestamps[start + read + chosen.index(targets[row])]
    bands = [
        g for g in slices(rows, Thresholds(item=5, user=5), dataset.catalogue, times=times) if g.dimension == "time"
    ]
    assert sum(g.members.sum() for g in bands) == len(rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", g.name) for g in bands)
    assert [g.name for g in bands] == sorted(g.name for g in bands)


def rng_rows(size: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).choice(size, 25, replace=False)]


def test_an_order_gives_no_slices_by_time(store: Store) -> None:
    dataset = make_dataset(store, users=60, items=30)
    dataset.manifest.info["time"] = "order"
    assert target_times(dataset, pd.DataFrame({"user": [0], "target": [1]})) is None


def test_a_slice_is_a_group_like_any_other() -> None:
    base, run = frame_of([50] * 6), frame_of([1, 1, 50, 50, 50, 50])
    group = Group("brand", "x", np.array([True, True, True, False, False, False]))
    table = compare({"base": [base], "run": [run]}, Thresholds(item=5, user=5), metrics=["HR@10"], groups=[group])
    assert table[["dimension", "group", "users"]].to_numpy().tolist() == [["brand", "x", 3]]
    assert table["difference"].iloc[0] == pytest.approx(2 / 3)
    values = summary({"run": [run]}, Thresholds(item=5, user=5), metrics=["HR@10"], groups=[group])
    assert values["value"].iloc[0] == pytest.approx(2 / 3)
    assert target_values([base, run], "HR@10", "full", "test").tolist() == [0.5, 0.5, 0, 0, 0, 0]


def test_the_permutation_test_is_exact_on_a_case_done_by_hand() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    members = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 1]], bool)
    high, low = permutation_test(values, members)
    assert high == pytest.approx(1 / 15, abs=0.01)  # of 15 pairs of users one holds both hits
    assert low == 1.0  # every pair has at least none


def world(rng: np.random.Generator, size: int = 1500, planted: float | None = None) -> tuple[np.ndarray, list[Group]]:
    """Hits of one user in five and 30 slices that know nothing of them; ``planted``: the hits of a slice and a pair."""
    groups = []
    for column in range(6):
        value = rng.integers(0, 5, size)
        groups += [Group(f"c{column}", str(v), value == v) for v in range(5)]
    chance = np.full(size, 0.2)
    if planted is not None:
        chance[groups[0].members | (groups[7].members & groups[12].members)] = planted
    return (rng.random(size) < chance).astype(float), groups


@pytest.mark.slow
def test_what_is_chance_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than 5% of searches in data without structure name a slice (with room for the noise of simulating)."""
    monkeypatch.setattr(module, "CELLS", 0)  # as few permutations as there may be
    invented = 0
    for seed in range(SIMULATIONS):
        values, groups = world(np.random.default_rng(seed))
        found = search(values, groups, np.arange(len(values)), less=bool(seed % 2), seed=seed)
        invented += any(f.confirmed for f in found)
    assert invented <= 0.05 * SIMULATIONS + 2 * np.sqrt(0.05 * 0.95 * SIMULATIONS)


@pytest.mark.slow
def test_what_is_planted_is_found_and_named() -> None:
    found = 0
    for seed in range(20):
        values, groups = world(np.random.default_rng(seed), size=3000, planted=0.05)
        best = [f for f in search(values, groups, np.arange(3000), less=True, seed=seed) if f.confirmed]
        found += bool(best) and best[0].group.name == "c0: 0"
    assert found >= 19


def test_a_pair_is_named_when_neither_half_says_it() -> None:
    rng = np.random.default_rng(1)
    values, groups = world(rng, size=6000)
    pair = groups[0].members & groups[5].members
    values[pair] = rng.random(pair.sum()) < 0.8
    best = search(values, groups, np.arange(6000), less=False)[0]
    assert best.confirmed
    assert best.group.name == "c0: 0 & c1: 0"
    assert best.group.members.tolist() == pair.tolist()
    assert best.difference > 0.4 < best.explored


def test_three_conditions_are_named_when_no_two_of_them_say_it() -> None:
    rng = np.random.default_rng(1)
    values, groups = world(rng, size=12_000)
    three = groups[0].members & groups[5].members & groups[10].members
    values[three] = rng.random(three.sum()) < 0.8
    best = search(values, groups, np.arange(12_000), less=False)[0]
    assert best.confirmed
    assert best.group.name == "c0: 0 & c1: 0 & c2: 0"
    assert best.group.members.tolist() == three.tolist()
    pairs = search(values, groups, np.arange(12_000), less=False, triples=0)
    assert not any(f.group.name.count("&") > 1 for f in pairs)


def test_every_slice_of_three_conditions_is_looked_at() -> None:
    """Against all combinations one by one: those of three columns, large enough, that beat each of their parts."""
    rng = np.random.default_rng(4)
    values, groups = world(rng, size=600)
    groups = groups[:20]
    members = np.stack([g.members for g in groups], axis=1).astype(np.float32)
    columns = np.array([int(g.dimension[1:]) for g in groups])

    def stands_out(*conditions: int) -> float:
        inside = members[:, list(conditions)].all(axis=1)
        if inside.sum() < 3:
            return -np.inf
        lead = values[inside].mean() - values[~inside].mean()
        return float(lead / (values.std() * np.sqrt(1 / inside.sum() + 1 / (~inside).sum())))

    wanted = {}
    for three in itertools.combinations(range(20), 3):
        score, parts = stands_out(*three), [c for size in (1, 2) for c in itertools.combinations(three, size)]
        if (
            len(set(columns[list(three)])) == 3
            and score >= module.NOTABLE
            and score > max(stands_out(*p) for p in parts)
        ):
            wanted[three] = score
    counts = members.T @ members
    z = module._against_rest(counts, members.T @ (members * values[:, None].astype(np.float32)), values)
    able = (counts >= 3) & (columns[:, None] != columns)
    found = {c.conditions: c.z for c in module._of_three(values, members, able, z, 3)}
    assert found == pytest.approx(wanted, abs=1e-3)
    assert len(wanted) > 20


def test_a_user_is_explored_or_tested_never_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's several targets are one draw: two halves of the same users would confirm any accident."""
    seen: dict[str, set[int]] = {}
    users = np.repeat(np.arange(400), 3)
    values = np.random.default_rng(0).random(1200)
    groups = [Group("c", "0", users < 200), Group("d", "0", users % 2 == 0)]
    explore, test = module._explore, module.permutation_test

    def explored(v: np.ndarray, g: list[Group], at: np.ndarray, *rest: Any) -> list[tuple[Group, float]]:
        assert len(set(users[at])) == len(at)
        seen["explored"] = set(at)
        explore(v, g, at, *rest)
        return [(g[0], 0.0)]

    def tested(v: np.ndarray, members: np.ndarray, *, seed: int) -> np.ndarray:
        seen["tested"] = {int(np.flatnonzero(values == -x)[0]) for x in v}
        return test(v, members, seed=seed)

    monkeypatch.setattr(module, "_explore", explored)
    monkeypatch.setattr(module, "permutation_test", tested)
    search(values, groups, users, less=True)
    explored_users, tested_users = ({int(users[row]) for row in rows} for rows in (seen["explored"], seen["tested"]))
    assert not explored_users & tested_users
    assert len(explored_users | tested_users) == 400


def test_too_few_users_are_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="50 users are too few"):
        search(np.zeros(50), [], np.arange(50), less=True)
