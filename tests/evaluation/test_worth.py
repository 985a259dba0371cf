"""Hits weighted by price: by hand, and which columns hold money."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from llmesr.evaluation.worth import amounts, worth


def ranks(targets: list[int], rank: list[int]) -> pd.DataFrame:
    n = len(targets)
    return pd.DataFrame(
        {"user": range(n), "target": targets, "rank": rank, "protocol": "full", "part": "test"},
    )


def test_value_weighted_hit_rate_by_hand() -> None:
    """Prices 10, 20, 70 and one unknown. The first run finds 10 of 100, the second 70 of 100."""
    prices = np.array([10.0, 20.0, 70.0, np.nan])
    targets = [1, 2, 3, 4]
    runs = {"plain": [ranks(targets, [1, 50, 50, 1])], "text": [ranks(targets, [50, 50, 10, 1])]}
    table = worth(runs, "plain", prices).set_index("run")
    assert table["weighted"].to_dict() == pytest.approx({"plain": 0.1, "text": 0.7})
    assert table["plain"].to_dict() == pytest.approx({"plain": 1 / 3, "text": 1 / 3})
    assert table.loc["text", "difference"] == pytest.approx(0.6)
    assert np.isnan(table.loc["plain", "difference"])
    assert (table["targets"].iloc[0], table["share"].iloc[0]) == (3, 0.75)


def test_equal_prices_weigh_nothing() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(1, 6, 300).tolist()
    runs = {name: [ranks(targets, rng.integers(1, 30, 300).tolist())] for name in ("a", "b")}
    table = worth(runs, "a", np.full(5, 3.5))
    assert table["weighted"].tolist() == pytest.approx(table["plain"].tolist())
    row = table.set_index("run").loc["b"]
    assert row["low"] < row["weighted"] < row["high"]
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_an_interval_is_that_of_a_ratio() -> None:
    """Nine targets of ten found, at prices that differ widely: most of what prices move is in both sums."""
    rng = np.random.default_rng(1)
    prices, covered, widths = np.exp(rng.normal(0, 1, 400)), 0, []
    for _ in range(60):
        targets = rng.integers(1, 401, 300)
        found = worth({"a": [ranks(targets.tolist(), np.where(rng.random(300) < 0.9, 1, 99).tolist())]}, "a", prices)
        low, high = found[["low", "high"]].iloc[0]
        covered += low <= 0.9 <= high
        widths.append(high - low)
        assert high <= 1
    assert covered >= 50
    assert np.mean(widths) < 0.15  # .3 where the sum of all prices counted as known


def test_all_found_leaves_the_doubt_that_users_leave() -> None:
    targets = [1, 2, 3] * 20
    row = worth({"a": [ranks(targets, [1] * 60)]}, "a", np.array([1.0, 5.0, 80.0])).iloc[0]
    assert row["weighted"] == 1
    assert 0.9 < row["low"] < 1
    assert row["high"] == 1


def test_several_targets_of_a_user_are_one_draw() -> None:
    frame = ranks([1, 2, 1, 2], [1, 50, 50, 1]).assign(user=[0, 0, 1, 1])
    table = worth({"a": [frame]}, "a", np.array([1.0, 3.0]))
    assert table["weighted"].iloc[0] == pytest.approx(4 / 8)
    assert table["targets"].iloc[0] == 4


def test_money_is_a_column_of_amounts_with_a_name_of_money() -> None:
    items = pd.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["x", "y", "z", "w"],
            "price": ["$10", "€ 20.5", "", "0"],
            "year": ["1999", "2000", "2001", "2002"],
            "Margin": ["1", "2", "3", "4"],
            "price band": ["low", "low", "high", "high"],
        }
    )
    found = amounts(items)
    assert list(found) == ["price", "Margin"]
    np.testing.assert_array_equal(found["price"], [10, 20.5, np.nan, np.nan])
