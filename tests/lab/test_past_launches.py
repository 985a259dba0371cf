"""Past launches: expected hits by hand, their calibration, and what is said when there is too little."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from lab_shop import opened

from llmesr.config import LabConfig
from llmesr.config.data import unix_seconds
from llmesr.errors import UserError
from llmesr.lab.audience import asked, ranks_of, reached
from llmesr.lab.past import Past, launched, past_launches, rates_by_rank

pytest_plugins = ("lab_shop",)


def past(hits: np.ndarray, expected: np.ndarray, users: int = 200) -> Past:
    launches = pd.DataFrame({"item": np.arange(len(hits)) + 1, "reach": 9, "expected": expected, "hits": hits})
    launches = launches.assign(chosen=hits + 1)
    by_user = np.zeros((users, 2))
    by_user[: len(hits)] = np.stack([hits, expected], axis=1)
    return Past("run", "text-ease", "", users, 3, np.array([0.2, 0.1, 0.05]), launches, by_user)


def test_the_factor_is_hits_over_expected_and_its_interval_holds_it() -> None:
    found = past(np.tile([0, 1, 2, 1], 10), np.full(40, 2.0))
    factor, low, high = found.factor
    assert factor == pytest.approx(40 / 80)
    assert low < factor < high
    assert low > 0.3
    assert high < 0.7


def test_a_forecast_by_hand() -> None:
    found = past(np.tile([0, 1, 2, 1], 10), np.full(40, 2.0))
    ranks = np.array([1, 3, 0, 4, 2] + [50] * 30)
    assert found.expected(ranks) == pytest.approx(0.2 + 0.05 + 0.1)
    forecast = found.forecast(ranks)  # 10 of 1,000, as 2 of 200
    assert forecast is not None
    assert forecast.beyond is None
    assert forecast.hits == pytest.approx(1000 * 0.35 / 35 * 0.5)
    assert forecast.low < forecast.hits < forecast.high
    # 40 launches with 0, 1, 2, 1 hits among 200 users: four of five lie between 0 and 10 per 1,000.
    assert (forecast.least, forecast.most) == (0.0, 10.0)


@pytest.mark.parametrize(("rank", "side"), [(1, "above"), (2, None), (3, "below")])
def test_a_forecast_beyond_all_past_ones_has_no_range(rank: int, side: str | None) -> None:
    found = past(np.tile([0, 1, 2, 1], 10), np.repeat([19.0, 21.0], 20))  # of 1,000 users 95 to 105
    forecast = found.forecast(np.full(9, rank))
    assert forecast is not None
    assert forecast.beyond == side
    assert forecast.hits == pytest.approx(1000 * found.rates[rank - 1] * 0.05)
    ends = [forecast.low, forecast.high, forecast.least, forecast.most]
    assert [math.isnan(end) for end in ends] == [side is not None] * 4
    assert ("four of five" in forecast.surety) == (side is None)
    assert (f"lies {side} those of all past launches" in forecast.surety) == (side is not None)


def test_what_was_first_chosen_in_validation_is_no_launch() -> None:
    data = opened("later").dataset
    items = launched(data)
    cut = unix_seconds(str(data.split_config.test_from))
    assert data.timestamps is not None
    first = {item: int(data.timestamps[data.items == item].min()) for item in np.unique(data.items).tolist()}
    cold = np.flatnonzero(data.item_counts[1:] == 0) + 1
    assert items.tolist() == [item for item in cold if first[item] >= cut and item in data.split.pairs("test")[1]]
    assert len(items) < len(set(cold) & set(data.split.pairs("test")[1]))


def test_groups_of_like_forecasts() -> None:
    found = past(np.repeat([0, 1, 2, 3], 10), np.repeat([0.5, 1.0, 1.5, 2.0], 10))
    assert found.table["launches"].tolist() == [10, 10, 10, 10]
    assert found.table["expected"].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert found.table["hits"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert (found.table["low"] <= found.table["hits"]).all()
    assert (found.table["hits"] <= found.table["high"]).all()


@pytest.mark.parametrize(
    ("hits", "users"),
    [(np.ones(19, int), 200), (np.r_[np.ones(9, int), np.zeros(30, int)], 200), (np.ones(29, int), 29)],
)
def test_too_little_gives_a_sentence_and_no_number(hits: np.ndarray, users: int) -> None:
    found = past(hits, np.full(len(hits), 1.0), users)
    assert found.lacking is not None
    assert "Too little to calibrate by" in found.lacking
    assert all(math.isnan(value) for value in found.factor)
    assert found.forecast(np.array([1, 2])) is None
    assert found.table.empty


def test_rates_are_shares_of_the_validation_questions_by_rank() -> None:
    run = opened("later").run
    frame = run.per_user()
    valid = frame[(frame["part"] == "valid") & (frame["protocol"] == "full")]
    rates = rates_by_rank(run, 4)
    for rank in range(1, 5):
        assert rates[rank - 1] == pytest.approx((valid["rank"] == rank).sum() / valid["user"].nunique())


def test_launches_of_a_temporal_split_are_counted_by_hand() -> None:
    scored = opened("later")
    data, config = scored.dataset, LabConfig(k=8)
    found = past_launches(scored, config)
    items = launched(data)
    users, targets = data.split.pairs("test")
    assert len(items)
    assert found.launches["item"].tolist() == items.tolist()
    audience = asked(data, "test")
    ranks = ranks_of(scored.of("test"), items, audience)  # text-ease scores its cold items by text alone already
    assert found.launches["reach"].tolist() == reached(ranks, 8).sum(0).tolist()
    for row, item in enumerate(items):
        choosers = np.flatnonzero(np.isin(audience.users, users[targets == item]))
        assert found.launches["chosen"].iloc[row] == len(choosers)
        assert found.launches["hits"].iloc[row] == int(reached(ranks[choosers, row], 8).sum())
        inside = ranks[:, row][reached(ranks[:, row], 8)]
        assert found.launches["expected"].iloc[row] == pytest.approx(found.rates[inside - 1].sum())
    assert found.by_user.sum(0).tolist() == pytest.approx(found.launches[["hits", "expected"]].sum().tolist())


def test_leave_one_out_has_no_launches() -> None:
    with pytest.raises(UserError, match="--set kind=temporal"):
        past_launches(opened("text-ease"))
