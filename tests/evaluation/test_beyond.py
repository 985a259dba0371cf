"""Exposure, novelty, diversity, overlap and calibration against small cases worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from evaluation_cases import dataset_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.beyond import (
    beyond_table,
    calibration,
    exposure,
    gini,
    jaccard,
    list_values,
    overlap,
)

COUNTS = np.array([0, 8, 4, 2, 0])  # items 1..4
THRESHOLDS = Thresholds(item=4, user=2)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([1, 1, 1, 1], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([5], 0), ([1, 2, 3, 4], 0.25)],
)
def test_gini_by_hand(counts: Any, expected: Any) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference(counts: Any) -> None:
    x = np.array(counts, float)
    by_pairs = np.abs(x[:, None] - x).sum() / (2 * len(x) ** 2 * x.mean())
    assert gini(x) == pytest.approx(by_pairs, abs=1e-9)
    assert gini(x[::-1]) == pytest.approx(gini(x))


def test_gini_of_nothing_is_not_a_number() -> None:
    assert math.isnan(gini(np.zeros(3)))


def test_values_of_a_list_by_hand() -> None:
    top = np.array([[1, 4, 2], [3, 0, 0], [0, 0, 0]])
    values = list_values(top, COUNTS, THRESHOLDS, k=2)
    assert values["ARP"].tolist()[:2] == [4, 2]
    assert values["APLT"].tolist()[:2] == [0.5, 1]
    # 14 interactions + one for each of 4 items
    assert values["Novelty"][0] == pytest.approx((-math.log2(9 / 18) - math.log2(1 / 18)) / 2)
    assert values.iloc[2].isna().all()


def test_diversity_is_the_mean_pairwise_cosine_distance() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    vectors[0] = 5  # the padding row must not matter
    vectors[4] = 0  # an item without text
    top = np.array([[1, 2, 3], [1, 2, 0], [1, 4, 2], [3, 0, 0], [1, 1, 1]])
    found = list_values(top, COUNTS, THRESHOLDS, k=3, vectors=vectors)["ILD"]

    def distance(a: Any, b: Any) -> Any:
        return 1 - vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])

    assert found[0] == pytest.approx((distance(1, 2) + distance(1, 3) + distance(2, 3)) / 3, abs=1e-5)
    assert found[1] == found[2] == pytest.approx(distance(1, 2), abs=1e-5)
    assert math.isnan(found[3])
    assert found[4] == pytest.approx(0, abs=1e-5)


def test_exposure_by_hand() -> None:
    top = np.array([[1, 2], [1, 3], [1, 0]])
    assert exposure(top, 4, k=2) == {"Coverage": 0.75, "Gini": pytest.approx(gini(np.array([0, 1, 1, 3])))}
    assert exposure(top, 4, k=1) == {"Coverage": 0.25, "Gini": 0.75}


def test_table_by_user_group() -> None:
    # training lengths 1 and 3: the first user is tail
    data = dataset_of([[1, 2, 3], [1, 1, 2, 3, 1]], n_items=4, thresholds=Thresholds(item=2, user=2))
    table = beyond_table(np.array([[4, 0], [4, 1]]), data, data.thresholds, ks=(1, 2)).set_index(["group", "metric"])
    assert table.loc[("Tail User", "Coverage@1"), "value"] == 0.25
    assert table.loc[("Overall", "Coverage@2"), "value"] == 0.5
    assert table.loc[("Overall", "APLT@2"), "value"] == pytest.approx((1 + 0.5) / 2)
    assert table.loc[("Head User", "ARP@2"), "value"] == pytest.approx(3 / 2)  # item 1: thrice in training
    assert table.loc[("Head User", "ARP@2"), "users"] == 1
    assert not any("ILD" in m for _, m in table.index)
    with_text = beyond_table(np.array([[4, 2], [4, 1]]), data, data.thresholds, ks=(2,), vectors=np.eye(5))
    assert with_text.set_index(["group", "metric"]).loc[("Overall", "ILD@2"), "value"] == pytest.approx(1)


def test_a_group_without_users_is_nan() -> None:
    data = dataset_of([[1, 2, 3]], n_items=4, thresholds=Thresholds(item=2, user=1))
    table = beyond_table(np.array([[4, 1]]), data, data.thresholds, ks=(2,))
    tail = table[table["group"] == "Tail User"]
    assert tail["value"].isna().all()
    assert (tail["users"] == 0).all()


def test_overlap_by_hand() -> None:
    a, b = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 2, 9], [4, 5, 6]])
    table = overlap({"a": a, "b": b}, k=3).set_index(["run", "other"])["jaccard"]
    assert table["a", "b"] == table["b", "a"] == pytest.approx((2 / 4 + 1) / 2)
    assert table["a", "a"] == 1
    assert overlap({"a": a, "b": b}, k=1)["jaccard"].tolist() == [1, 0.5, 0.5, 1]
    assert jaccard(np.array([[0, 0], [1, 0]]), np.array([[0, 0], [0, 0]])).tolist() == [1, 0]
    with pytest.raises(UserError, match="different users"):
        overlap({"a": a, "b": b[:1]}, k=3)
    with pytest.raises(UserError, match="first 3 recommendations are stored, not 10"):
        overlap({"a": a})


def test_calibration_follows_the_taste_of_each_user() -> None:
    # item 1 is popular (8 in training), 2..9 once each; user 0 likes the popular, user 1 the rare
    popular = [[1, 1, 1, 1, 1, 1, 1, 1, 2, 3]]
    rare = [[2, 3, 4, 5, 6, 7, 8, 9, 1, 1]]
    data = dataset_of(popular + rare, n_items=10, thresholds=Thresholds(item=3, user=2))
    same = calibration(np.array([[1, 1], [4, 5]]), data, data.thresholds, k=2)
    assert same["lift"].tolist() == [0, 0]
    assert same["divergence"].tolist() == [0, 0]
    assert same["history_tail"].tolist() == same["list_tail"].tolist() == [0, 1]
    crossed = calibration(np.array([[4, 5], [1, 1]]), data, data.thresholds, k=2)
    assert crossed["lift"].tolist() == [pytest.approx(1 / 8 - 1), 7]
    assert crossed["divergence"].tolist() == [1, 1]
    half = calibration(np.array([[1, 5], [0, 0]]), data, data.thresholds, k=2)
    assert half["divergence"][0] == pytest.approx(jensenshannon([1, 0], [0.5, 0.5], base=2) ** 2)
    assert math.isnan(half["divergence"][1])
    assert half["history_popularity"].tolist() == [8, 1]
