"""Metrics and groups against tables worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import frame_of
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.table import event_metrics, metric_table, metric_values, quick_metrics

THRESHOLDS = Thresholds(item=4, user=3)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("HR@1", [1, 0, 0, 0, 0]),
        ("HR@10", [1, 1, 1, 1, 0]),
        ("NDCG@3", [1, 1 / math.log2(3), 0.5, 0, 0]),
        ("NDCG@10", [1, 0.63093, 0.5, 0.28906, 0]),
        ("MRR@2", [1, 0.5, 0, 0, 0]),
        ("MRR@20", [1, 1 / 2, 1 / 3, 1 / 10, 1 / 11]),
    ],
)
def test_metric_of_a_rank(metric: Any, expected: Any) -> None:
    assert metric_values(np.array([1, 2, 3, 10, 11]), metric) == pytest.approx(expected, abs=1e-5)


@given(st.lists(st.integers(1, 1000), min_size=1), st.integers(1, 50))
def test_metrics_are_ordered(ranks: Any, k: Any) -> None:
    hit, ndcg, mrr = (metric_values(np.array(ranks), f"{m}@{k}") for m in ("HR", "NDCG", "MRR"))
    assert (hit >= ndcg).all()
    assert (ndcg >= mrr).all()
    assert (mrr >= 0).all()
    assert (metric_values(np.array(ranks), f"NDCG@{k + 1}") >= ndcg).all()


@pytest.mark.parametrize("name", ["hr@10", "HR@0", "HR@", "Precision@10", "HR@10 ", "NDCG10"])
def test_an_unknown_metric_is_named(name: Any) -> None:
    with pytest.raises(UserError, match="is not a metric"):
        metric_values(np.array([1]), name)


@pytest.fixture
def frame() -> Any:
    # user            0  1  2   3  4   5
    # popularity      3  4  0  10  3  10   tail item below 4: 0, 2, 4
    # length          1  2  3   4  5   1   tail user below 3: 0, 1, 5
    test = frame_of([1, 2, 11, 3, 6, 7], popularity=[3, 4, 0, 10, 3, 10], length=[1, 2, 3, 4, 5, 1])
    return pd.concat([test, test.assign(part="valid", rank=1), test.assign(protocol="uni100", rank=2)])


def test_groups_by_hand(frame: Any) -> None:
    table = metric_table(frame, THRESHOLDS, ks=(5,))
    hit = table[table["metric"] == "HR@5"].set_index("group")
    expected = {
        "Overall": (3 / 6, 6),
        "Tail Item": (1 / 3, 3),
        "Head Item": (2 / 3, 3),
        "Cold Item": (0, 1),
        "Tail User": (2 / 3, 3),
        "Head User": (1 / 3, 3),
        "Tail User x Tail Item": (1, 1),
        "Tail User x Head Item": (1 / 2, 2),
        "Head User x Tail Item": (0, 2),
        "Head User x Head Item": (1, 1),
    }
    for group, (value, users) in expected.items():
        assert hit.loc[group, "value"] == pytest.approx(value), group
        assert hit.loc[group, "users"] == users, group
    assert hit.loc["Tail Item", "dimension"] == "item"
    assert hit.loc["Tail User x Tail Item", "dimension"] == "cell"
    ndcg = table[table["metric"] == "NDCG@5"].set_index("group")["value"]
    assert ndcg["Overall"] == pytest.approx((1 + 1 / math.log2(3) + 0.5) / 6)


def test_buckets_hold_everyone_once_and_ties_together(frame: Any) -> None:
    table = metric_table(frame, THRESHOLDS, ks=(5,))
    for dimension in ("popularity", "length"):
        rows = table[(table["dimension"] == dimension) & (table["metric"] == "HR@5")]
        assert rows["users"].sum() == 6
        assert (rows["value"] * rows["users"]).sum() == pytest.approx(3)
    popularity = table[(table["dimension"] == "popularity") & (table["metric"] == "HR@5")]
    assert popularity["group"].tolist() == ["0-3", "4", "10"]


def test_parts_and_protocols_are_never_mixed(frame: Any) -> None:
    def overall(**which: Any) -> Any:
        return metric_table(frame, THRESHOLDS, ks=(1,), **which)["value"].iloc[0]

    assert overall(part="valid") == 1
    assert overall(protocol="uni100") == 0
    assert overall() == pytest.approx(1 / 6)
    with pytest.raises(UserError, match=r"valid/uni100 here, only test/full, test/uni100, valid/full"):
        overall(part="valid", protocol="uni100")


def test_an_empty_group_is_nan_with_no_users() -> None:
    table = metric_table(frame_of([1, 2], popularity=9, length=9), THRESHOLDS, ks=(5,)).set_index("group")
    assert table.loc["Tail Item", "users"].eq(0).all()
    assert table.loc["Tail Item", "value"].isna().all()


def test_cold_items_are_a_group_only_where_there_are_any() -> None:
    table = metric_table(frame_of([1, 2], popularity=9, length=9), THRESHOLDS, ks=(5,))
    assert "Cold Item" not in set(table["group"])


def several() -> pd.DataFrame:
    """User 0 has targets at ranks 1 (popularity 0), 4 (5) and 30 (5), user 1 one at rank 2 (popularity 5)."""
    frame = frame_of([1, 4, 30, 2], popularity=[0, 5, 5, 5], length=[2, 2, 2, 9])
    return frame.assign(user=[0, 0, 0, 1])


def test_several_targets_by_hand() -> None:
    table = metric_table(several(), THRESHOLDS, ks=(5,)).set_index(["group", "metric"])
    ideal3, ideal2 = 1 + 1 / math.log2(3) + 0.5, 1 + 1 / math.log2(3)
    expected = {
        ("Overall", "HR@5"): (1, 2),
        ("Overall", "MRR@5"): ((1 + 1 / 2) / 2, 2),
        ("Overall", "Recall@5"): ((2 / 3 + 1) / 2, 2),
        ("Overall", "NDCG@5"): (((1 + 1 / math.log2(5)) / ideal3 + 1 / math.log2(3)) / 2, 2),
        # of the cold item alone: the other two targets of user 0 do not count
        ("Cold Item", "Recall@5"): (1, 1),
        ("Tail Item", "NDCG@5"): (1, 1),
        ("Head Item", "Recall@5"): ((1 / 2 + 1) / 2, 2),
        ("Head Item", "NDCG@5"): (((1 / math.log2(5)) / ideal2 + 1 / math.log2(3)) / 2, 2),
        ("Tail User", "Recall@5"): (2 / 3, 1),
        ("Head User", "MRR@5"): (1 / 2, 1),
        ("Tail User x Head Item", "HR@5"): (1, 1),
    }
    for at, (value, users) in expected.items():
        assert table.loc[at, "value"] == pytest.approx(value), at
        assert table.loc[at, "users"] == users, at
    assert event_metrics(several(), THRESHOLDS, ["Recall@5"])["full/Head Item/Recall@5"] == pytest.approx(3 / 4)
    assert quick_metrics(several(), THRESHOLDS, "HR@1", "Tail User") == 1


def test_no_more_can_be_found_than_fits_the_list() -> None:
    """Three targets at ranks 1 to 3 are the best a list of two can do."""
    frame = frame_of([1, 2, 3], popularity=5, length=5).assign(user=0)
    table = metric_table(frame, THRESHOLDS, ks=(2,)).set_index(["group", "metric"])["value"]
    assert table["Overall", "NDCG@2"] == pytest.approx(1)
    assert table["Overall", "Recall@2"] == pytest.approx(2 / 3)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 12))
@settings(deadline=None)
def test_one_target_each_is_the_special_case(ranks: list[int], k: int) -> None:
    """Asked for one of two equal halves, several targets give what one target gives."""
    one = frame_of(ranks, popularity=5, length=5)
    two = pd.concat([one, frame_of([99, 99], popularity=1, length=5).assign(user=[0, 0])], ignore_index=True)
    of_one = metric_table(one, THRESHOLDS, ks=(k,)).set_index(["group", "metric"])["value"]
    of_two = metric_table(two, THRESHOLDS, ks=(k,)).set_index(["group", "metric"])["value"]
    for metric in ("HR", "NDCG", "MRR"):
        assert of_two["Head Item", f"{metric}@{k}"] == pytest.approx(of_one["Head Item", f"{metric}@{k}"])


def test_what_a_training_loop_reads(frame: Any) -> None:
    valid = frame[frame["part"] == "valid"]
    assert quick_metrics(valid, THRESHOLDS) == 1
    assert quick_metrics(frame[frame["part"] == "test"], THRESHOLDS, "HR@5", "Tail User") == pytest.approx(2 / 3)
    event = event_metrics(frame[frame["part"] == "test"], THRESHOLDS)
    assert event["uni100/Head User/NDCG@10"] == pytest.approx(1 / math.log2(3))
    assert event["full/Overall/HR@10"] == pytest.approx(5 / 6)
    assert event["full/Cold Item/HR@10"] == 0
    assert len(event) == 2 * 6 * 2
    only_head = frame_of([1], popularity=9, length=9)
    assert set(event_metrics(only_head, THRESHOLDS, ["HR@5"])) == {
        "full/Overall/HR@5",
        "full/Head Item/HR@5",
        "full/Head User/HR@5",
    }
    with pytest.raises(UserError, match="No evaluated user is in 'Tail Item'"):
        quick_metrics(only_head, THRESHOLDS, group="Tail Item")
    with pytest.raises(UserError, match="'tail' is not a group"):
        quick_metrics(only_head, THRESHOLDS, group="tail")


def test_the_thresholds_alone_move_the_groups(frame: Any) -> None:
    everything_tail = metric_table(frame, Thresholds(item=100, user=100), ks=(5,)).set_index("group")
    assert everything_tail.loc["Tail Item", "users"].eq(6).all()
    assert everything_tail.loc["Head Item", "users"].eq(0).all()
