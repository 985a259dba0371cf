"""Measures of item vectors against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.errors import UserError
from llmesr.semantic import diagnostics
from llmesr.semantic.diagnostics import compare, diagnose, effective_rank, mean_cosine, shared_attributes, uniformity

CROSS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)  # cosines: 4 pairs 0, 2 pairs -1


def table(frame: pd.DataFrame, column: str = "value") -> dict[tuple[str, str], Any]:
    return {(row.measure, row.attribute): getattr(row, column) for row in frame.itertuples()}


def catalogue(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(n)], "title": [f"t{i}" for i in range(n)], **columns})


def test_spread_by_hand() -> None:
    assert mean_cosine(CROSS) == pytest.approx(-2 / 6)
    # squared distances: 4 pairs of 2, 2 pairs of 4
    assert uniformity(CROSS) == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))
    assert effective_rank(CROSS) == pytest.approx(2)
    line = np.array([[1, 0], [-1, 0], [1, 0]], np.float32)
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(np.ones((5, 3), np.float32)) == 1  # all alike: nothing is left after centring


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 40), st.integers(2, 6), st.integers(0, 999))
def test_spread_equals_the_slow_way(n: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(n, size))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    assert mean_cosine(unit) == pytest.approx(np.mean([unit[i] @ unit[j] for i, j in pairs]), abs=1e-5)
    slow = np.log(np.mean([np.exp(-2 * np.sum((unit[i] - unit[j]) ** 2)) for i, j in pairs]))
    assert uniformity(unit) == pytest.approx(slow, abs=1e-4)


def test_neighbours_by_hand() -> None:
    # a: two close pairs; each item's single neighbour is its partner. b: partners never share. c: nobody shares.
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    items = catalogue(a=["x", "X ", "y", "y"], b=["x", "y", "x", "y"], c=["p", "q", "r", ""])
    frame = diagnose(vectors, items, attributes=["a", "b", "c"], k=1)
    values, chance, ceiling, counted = (table(frame, c) for c in ("value", "chance", "ceiling", "items"))
    assert values["precision@1", "a"] == 1
    assert values["precision@1", "b"] == 0
    assert chance["precision@1", "a"] == pytest.approx(1 / 3)
    assert ceiling["precision@1", "a"] == 1
    assert counted["precision@1", "a"] == 4
    assert ("precision@1", "c") not in values
    near = 2 - 2 * 1 / math.sqrt(1.01)
    assert values["alignment", "a"] == pytest.approx(near, abs=1e-5)
    assert values["alignment", "b"] > 1
    two = diagnose(vectors, items, attributes=["a"], k=2)
    assert table(two)["precision@2", "a"] == 0.5
    assert table(two, "ceiling")["precision@2", "a"] == 0.5


def test_items_without_a_vector_are_left_out() -> None:
    vectors = np.vstack([CROSS, np.zeros((2, 2), np.float32)])
    items = catalogue(brand=["a", "a", "b", "b", "a", "a"])
    frame = diagnose(vectors, items, k=1)
    assert set(frame["items"]) == {4}
    with pytest.raises(UserError, match="Only 2 items"):
        diagnose(vectors[2:] * np.array([[1], [1], [0], [0]], np.float32), items.iloc[2:], k=1)


def test_attributes_that_group_items_are_found() -> None:
    items = catalogue(
        brand=["a", "b"] * 5,
        description=[f"text {i}" for i in range(10)],
        same=["all"] * 10,
        empty=[""] * 10,
        category=["c", "c", "d", "d", "e", "", "", "", "", ""],
    )
    assert shared_attributes(items) == ["brand", "category"]
    with pytest.raises(UserError, match="no attribute 'colour'"):
        shared_attributes(items, ["colour"])


def test_sampling_stays_close_to_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 8))
    group = rng.integers(20, size=1500)
    vectors = (centres[group] + 0.4 * rng.normal(size=(1500, 8))).astype(np.float32)
    items = catalogue(brand=[f"b{g}" for g in group])
    whole = table(diagnose(vectors, items))
    monkeypatch.setattr(diagnostics, "PAIR_ITEMS", 600)
    monkeypatch.setattr(diagnostics, "QUERY_ITEMS", 500)
    monkeypatch.setattr(diagnostics, "POSITIVE_PAIRS", 1000)
    monkeypatch.setattr(diagnostics, "BLOCK", 128)
    some = table(diagnose(vectors, items))
    for key, value in whole.items():
        assert some[key] == pytest.approx(value, abs=0.06), key
    assert whole["precision@10", "brand"] > 0.8


def test_side_by_side() -> None:
    items = catalogue(brand=["a", "a", "b", "b"])
    frame = compare({"raw": CROSS, "tuned": CROSS * 3}, items, k=1)
    assert frame.columns.tolist() == ["measure", "attribute", "better", "raw", "tuned"]
    np.testing.assert_allclose(frame["raw"], frame["tuned"], atol=1e-6)
    assert frame["measure"].tolist()[:3] == ["mean pairwise cosine", "uniformity", "effective rank"]
