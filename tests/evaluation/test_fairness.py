"""Gaps between segments of users: planted ones found, none invented, two by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llmesr.evaluation.fairness import disparities
from llmesr.evaluation.table import Group


def by(column: str, labels: np.ndarray) -> list[Group]:
    return [Group(f"user {column}", str(name), labels == name) for name in np.unique(labels)]


def test_a_planted_gap_is_found_and_measured() -> None:
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south", "west"], 3000)
    values = (rng.random(3000) < np.where(region == "north", 0.1, 0.3)).astype(float)
    plan = rng.choice(["free", "paid"], 3000)
    found = disparities(values, [*by("region", region), *by("plan", plan)], np.arange(3000))
    assert [f.column for f in found] == ["user region", "user plan"]
    first = found[0]
    assert first.worst == "north"
    assert first.confirmed
    assert first.low < 0.2 < first.high
    assert first.difference == pytest.approx(first.best_value - first.worst_value)
    assert not found[1].confirmed


def test_no_gap_is_invented_and_the_interval_holds_what_it_promises() -> None:
    """300 shops in which nothing differs: the largest of four segments against the smallest."""
    rng = np.random.default_rng(1)
    called, inside, shops = 0, 0, 300
    for shop in range(shops):
        region = rng.choice(list("abcd"), 400)
        values = (rng.random(400) < 0.3).astype(float)
        (found,) = disparities(values, by("region", region), np.arange(400), seed=shop)
        called += found.confirmed
        inside += found.low <= 0 <= found.high
    assert called / shops < 0.08
    assert inside / shops > 0.91


def test_users_count_once_and_small_segments_not_at_all() -> None:
    users = np.repeat(np.arange(200), 2)  # two targets each: the mean counts
    region = np.repeat(np.where(np.arange(200) < 100, "a", "b"), 2)
    values = np.tile([1.0, 0.0], 200) * (region == "a")
    (found,) = disparities(values, by("region", region), users)
    assert (found.best, found.worst) == ("a", "b")
    assert (found.best_value, found.worst_value, found.difference) == (0.5, 0.0, 0.5)
    assert found.best_users + found.worst_users <= 110
    few = np.where(np.arange(400) < 380, "most", "few")
    assert disparities(values, by("region", few), users) == []


def test_slices_of_items_are_no_segments_of_users() -> None:
    brand = [Group("brand", name, np.arange(400) % 2 == i) for i, name in enumerate("xy")]
    assert disparities(np.ones(400), brand, np.arange(400)) == []
