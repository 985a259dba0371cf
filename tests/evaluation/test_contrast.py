"""The frames behind the pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import frame_of

from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.contrast import curves, frontier, movers, seesaw
from llmesr.evaluation.statistics import compare

THRESHOLDS = Thresholds(item=5, user=5)


def test_curves_rise_from_the_least_popular_bucket() -> None:
    popularity = np.repeat([1, 3, 9, 27, 81], 20)
    frame = frame_of(np.where(popularity > 5, 1, 50), popularity=popularity, length=np.tile([2, 9], 50))
    table = curves({"id": [frame], "x": [frame]}, THRESHOLDS, "popularity", metric="HR@10")
    assert table[table["run"] == "x"].sort_values("position")["group"].tolist() == ["1", "3", "9", "27", "81"]
    assert table[table["run"] == "x"].sort_values("position")["value"].tolist() == [0, 0, 1, 1, 1]
    lengths = curves({"id": [frame]}, THRESHOLDS, "length")
    assert lengths["group"].tolist() == ["2", "9"]
    assert lengths["position"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("tail", "head", "kind"),
    [(1, 1, "lifts both"), (1, 50, "trades head for tail"), (50, 1, "trades tail for head"), (50, 50, "lowers both")],
)
def test_seesaw(tail: Any, head: Any, kind: Any) -> None:
    popularity = np.tile([1, 10], 100)
    start = frame_of(np.tile([1, 1, 50, 50], 50), popularity=popularity)
    moved = frame_of(np.where(popularity < 5, tail, head), popularity=popularity)
    table = seesaw(compare({"id": [start], "x": [moved]}, THRESHOLDS), "HR@10")
    row = table.iloc[0]
    assert (row["run"], row["baseline"], row["kind"]) == ("x", "id", kind)
    assert row["tail"] == (0.5 if tail == 1 else -0.5)
    assert row["tail_low"] < row["tail"] < row["tail_high"]
    assert row["overall"] == pytest.approx((row["tail"] + row["head"]) / 2)
    with pytest.raises(UserError, match=r"no MRR@5; it has HR@10, NDCG@10"):
        seesaw(compare({"id": [start], "x": [moved]}, THRESHOLDS), "MRR@5")


def test_frontier_marks_runs_that_nothing_beats_in_both() -> None:
    points = {"a": (0.1, 0.5), "b": (0.2, 0.4), "c": (0.1, 0.4), "d": (0.2, 0.4), "e": (0.05, 0.6)}
    rows = [
        {"run": run, "group": group, "metric": metric, "value": value}
        for run, pair in points.items()
        for metric, value in zip(("NDCG@10", "APLT@10"), pair, strict=True)
        for group in ("Overall", "Tail User")
    ]
    table = frontier(pd.DataFrame(rows)).set_index("run")
    assert table["efficient"].to_dict() == {"a": True, "b": True, "c": False, "d": True, "e": True}
    with pytest.raises(UserError, match="no ILD@10"):
        frontier(pd.DataFrame(rows), exposure="ILD@10")


def test_movers_order_users_by_what_changed_for_them() -> None:
    before = frame_of([1, 50, 20, 400, 7])
    after = frame_of([50, 1, 40, 100, 7])
    table = movers([before], [after])
    assert table["user_id"].tolist() == ["u1", "u3", "u4", "u2", "u0"]
    first = table.iloc[0]
    assert (first["gain"], first["rank_before"], first["rank_after"]) == (1, pytest.approx(50), 1)
    assert table["doublings"].tolist()[1] == pytest.approx(2)
    assert table["gain"].tolist()[1:4] == [0, 0, 0]
    assert table["outcome"].tolist() == ["gained", "missed", "same", "missed", "lost"]
    seeds = movers([before, before], [after, before]).set_index("user_id")
    assert seeds.loc["u1", "gain"] == 0.5
    assert seeds.loc["u3", "rank_after"] == pytest.approx(200)
