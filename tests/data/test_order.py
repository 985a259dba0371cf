"""The order of events: kept to the fraction of a second, judged on all values, asked about where it cannot be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from marketplace import START, csv, finding, nothing_left, rows, run

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.data.layouts import assign
from llmesr.data.plan import NO_TIME, ahead
from llmesr.errors import UserError
from llmesr.store import Store

HEADER = "user_id,item_id,timestamp"


def history(dataset: Dataset, user: str) -> list[str]:
    return [dataset.catalogue["item_id"][i - 1] for i in dataset.history(dataset.user(user))]


def backwards(times: list[Any]) -> str:
    """Three users who chose i0, i1, ... at ``times``, written last first."""
    lines = [(f"u{u}", f"i{n}", t) for u in range(3) for n, t in enumerate(times)]
    return csv(lines[::-1])


@pytest.mark.parametrize(
    "times",
    [
        ["1593898444.1", "1593898444.3", "1593898444.438", "1593898444.7"],
        ["1593898444000.25", "1593898444000.5", "1593898444000.75"],
        ["2020-07-04T21:34:04.100Z", "2020-07-04T21:34:04.200Z", "2020-07-04T21:34:04.300Z"],
        ["0.125", "0.25", "0.5", "0.75"],
        ["44075.25", "44075.5", "44075.75"],
        ["202108201230", "202108201231", "202108211200"],
        ["9/1/20 9:30 AM", "9/1/20 12:30 PM", "9/13/20 1:30 AM"],
    ],
)
def test_events_are_ordered_to_the_fraction(times: list[str], store: Store, tmp_path: Path) -> None:
    dataset = run(store, tmp_path / "in", {"shop.csv": backwards(times)})
    for user in ("u0", "u1", "u2"):
        assert history(dataset, user) == [f"i{n}" for n in range(len(times))]
    assert not [f for f in dataset.manifest.info["report"] if f["code"] == "ties"]


@pytest.mark.parametrize("stamp", ["ns", "us", "ms"])
def test_parquet_times_keep_their_unit(stamp: str, store: Store, tmp_path: Path) -> None:
    step = {"ns": 1, "us": 1_000, "ms": 1_000_000}[stamp]
    table = [(f"u{u}", f"i{n}", START * 10**9 + n * step) for u in range(3) for n in range(4)][::-1]
    frame = pd.DataFrame(table, columns=HEADER.split(","))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"]).astype(f"datetime64[{stamp}]")
    (tmp_path / "in").mkdir()
    frame.to_parquet(tmp_path / "in" / "shop.parquet", index=False)
    dataset = run(store, tmp_path / "in2", {"shop.parquet": (tmp_path / "in" / "shop.parquet").read_bytes()})
    assert history(dataset, "u1") == ["i0", "i1", "i2", "i3"]
    assert dataset.timestamps is not None
    assert set(dataset.timestamps) == {START}


def _dates(form: str, days: int, before: int = 0) -> list[tuple[str, str, str]]:
    """Events on ``before`` days that could be months as well, then on all days of the month."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    early = [first + timedelta(days=30 * (n % 12) + n % 9) for n in range(before)]
    late = [first + timedelta(days=n) for n in range(400, 400 + days)]
    moments = [m for m in early if m.day <= 12] + late
    return [(f"u{n % 9}", f"i{n % 7}-{n // 63}", m.strftime(form)) for n, m in enumerate(moments)]


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y %H:%M", "%d-%m-%Y"])
def test_day_and_month_are_judged_on_all_values(form: str, store: Store, tmp_path: Path) -> None:
    table = _dates(form, days=20, before=1500)
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(table, "user_id,item_id,date")})
    assert dataset.timestamps is not None
    assert pd.Timestamp(dataset.timestamps.max(), unit="s").date() == datetime(2021, 2, 23, tzinfo=UTC).date()
    assert not [f for f in dataset.manifest.info["report"] if f["code"] == "ambiguous_dates"]
    assert dataset.manifest.info["rejected"] == 0


def test_another_file_of_the_import_tells_day_from_month(store: Store, tmp_path: Path) -> None:
    one = csv([(u, i, f"0{1 + n % 3}/04/2021") for n, (u, i, _) in enumerate(rows())])
    two = csv([(u, f"j{i}", f"{13 + n % 9}/05/2021") for n, (u, i, _) in enumerate(rows())])
    dataset = run(store, tmp_path / "in", {"a.csv": one, "b.csv": two})
    assert not [f for f in dataset.manifest.info["report"] if f["code"] == "ambiguous_dates"]
    assert dataset.timestamps is not None
    assert pd.Timestamp(dataset.timestamps.min(), unit="s") == pd.Timestamp("2021-04-01")


def test_a_stated_format_decides(store: Store, tmp_path: Path) -> None:
    table = csv([(u, i, f"0{1 + n % 4}/05/2021") for n, (u, i, _) in enumerate(rows())])
    guessed = run(store, tmp_path / "a", {"shop.csv": table})
    stated = run(store, tmp_path / "b", {"shop.csv": table}, time_format="%d/%m/%Y")
    assert "--set time_format='%d/%m/%Y'" in finding(guessed, "ambiguous_dates")["message"]
    assert guessed.timestamps is not None
    assert stated.timestamps is not None
    assert pd.Timestamp(guessed.timestamps.max(), unit="s") == pd.Timestamp("2021-04-05")
    assert pd.Timestamp(stated.timestamps.max(), unit="s") == pd.Timestamp("2021-05-04")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("1598918400", "20201001"), ("1598918400", "2020-10-01"), ("2020-09-01T10:00:00Z", "1601510400000"),
        ("09/14/2020", "20201001.0"),
    ],
)  # fmt: skip
def test_kinds_of_time_are_compared_across_files(earlier: str, later: str, store: Store, tmp_path: Path) -> None:
    """The file that is named first happened later."""
    second = csv([(f"u{u}", f"i{n}", earlier) for u in range(3) for n in range(2)])
    first = csv([(f"u{u}", f"i{n}", later) for u in range(3) for n in range(2, 4)])
    dataset = run(store, tmp_path / "in", {"a.csv": first, "b.csv": second})
    assert history(dataset, "u1") == ["i0", "i1", "i2", "i3"]


@pytest.mark.parametrize("order", ["17", "0.25", "44075.5"])
def test_an_order_beside_times_is_refused(order: str, store: Store, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.csv": csv(rows()), "b.csv": csv([(u, i, order) for u, i, _ in rows()])}
    with pytest.raises(UserError, match=r"b\.csv holds numbers that give only an order.*a\.csv unix time in s"):
        run(store, tmp_path / "in", files)
    assert nothing_left(store)


TWO_TIMES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "release and rating": (
        "user_id,item_id,release_date,rating_date",
        [(u, i, f"{1990 + int(i[1:])}-05-01", f"2020-01-0{1 + n % 9}") for n, (u, i, _) in enumerate(rows())],
    ),
    "two dates of unclear meaning": (
        "user_id,item_id,date,date_added",
        [(u, i, f"2001-01-0{1 + n % 9}", f"2020-01-0{1 + n % 9}") for n, (u, i, _) in enumerate(rows())],
    ),
    "two unnamed columns": (
        "user_id,item_id,wann,wann2",
        [(u, i, t, t - 10**8) for u, i, t in rows()],
    ),
}


def test_two_ways_of_writing_are_one_order(store: Store, tmp_path: Path) -> None:
    times = ["2021-03-01 10:00", "03/04/2021 09:00", "2021-03-16 08:00", "03/17/2021 07:00"]
    dataset = run(store, tmp_path / "in", {"shop.csv": backwards(times)})
    assert history(dataset, "u1") == ["i0", "i1", "i2", "i3"]


UNITS: dict[str, tuple[list[Any], str]] = {
    "seconds among milliseconds": ([START * 1000 + n for n in range(40)] + [START + 7], "u0, i40, 1500000007"),
    "milliseconds among seconds": ([START + n for n in range(40)] + [START * 1000], "u0, i40, 1500000000000"),
    "seconds among nanoseconds": ([START * 10**9 + n for n in range(40)] + [START + 7], "u0, i40, 1500000007"),
    "microseconds among milliseconds": ([START * 1000 + n for n in range(40)] + [START * 10**6], "1500000000000000"),
}


@pytest.mark.parametrize("case", UNITS)
def test_a_time_in_another_unit_is_named_and_never_sorted_in(case: str, store: Store, tmp_path: Path) -> None:
    times, named = UNITS[case]
    table = csv([("u0", f"i{n}", t) for n, t in enumerate(times)] + [("u1", f"i{n}", t) for n, t in enumerate(times)])
    dataset = run(store, tmp_path / "in", {"shop.csv": table})
    found = finding(dataset, "rejected")
    assert "time in another unit than most" in found["message"]
    assert found["examples"][0].endswith(named)
    assert history(dataset, "u1") == [f"i{n}" for n in range(40)]


@pytest.mark.parametrize("zero", ["0", "0.0", "1970-01-01", "1970-01-01T00:00:00Z", "01/01/1970"])
def test_zero_is_no_time(zero: str, store: Store, tmp_path: Path) -> None:
    """It would be the oldest choice of its user."""
    forms = {"0": "%s", "0.0": "%s.0", "1970-01-01": "%Y-%m-%d", "01/01/1970": "%m/%d/%Y"}
    form = forms.get(zero, "%Y-%m-%dT%H:%M:%SZ")
    times = [(datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=n)).strftime(form) for n in range(30)]
    table = csv([(u, f"i{n}", t) for u in ("u0", "u1") for n, t in enumerate([*times, zero])])
    dataset = run(store, tmp_path / "in", {"shop.csv": table})
    assert "2 lines left out: no time" in finding(dataset, "rejected")["message"]
    assert history(dataset, "u1") == [f"i{n}" for n in range(30)]


APART: dict[str, tuple[str, list[tuple[Any, ...]], str]] = {
    "date and time of day": (
        "user_id,item_id,date,time",
        [(u, i, f"2021-01-0{1 + n % 9}", "18:30:00") for n, (u, i, _) in enumerate(rows())],
        "the day in 'date' and the time of day in 'time'.*--column timestamp=date"),
    "american": (
        "user_id,item_id,Order Date,Time",
        [(u, i, f"01/{13 + n % 9}/2021", "6:30 PM") for n, (u, i, _) in enumerate(rows())],
        "the day in 'Order Date' and the time of day in 'Time'"),
    "year, month, day": (
        "user_id,item_id,year,month,day", [(u, i, 2021, 1 + n % 9, 3) for n, (u, i, _) in enumerate(rows())],
        "parts of them .'month', 'day'.*--column timestamp=day.*--column timestamp= to take"),
    "the number of a day": (
        "household_key,product_id,DAY,TRANS_TIME", [(u, i, n, 1631) for n, (u, i, _) in enumerate(rows())],
        "parts of them .'DAY'.*--column timestamp=DAY"),
    "weeks": (
        "user_id,item_id,week_no", [(u, i, n % 9) for n, (u, i, _) in enumerate(rows())], "--column timestamp=week_no"),
}  # fmt: skip


@pytest.mark.parametrize("case", APART)
def test_times_over_several_columns_are_asked_about(case: str, store: Store, tmp_path: Path) -> None:
    header, table, words = APART[case]
    with pytest.raises(UserError, match=words):
        run(store, tmp_path / "a", {"shop.csv": csv(table, header)})
    kept = run(store, tmp_path / "b", {"shop.csv": csv(table, header)}, columns={"timestamp": ""})
    assert kept.timestamps is None


def test_release_dates_give_way_and_are_never_alone(store: Store, tmp_path: Path) -> None:
    header, table = TWO_TIMES["release and rating"]
    dataset = run(store, tmp_path / "a", {"shop.csv": csv(table, header)})
    assert dataset.manifest.info["columns"]["timestamp"] == "rating_date"
    alone = csv([r[:3] for r in table], "user_id,item_id,release_date")
    with pytest.raises(UserError, match=r"only times .* 'release_date'.*--column timestamp="):
        run(store, tmp_path / "b", {"shop.csv": alone})
    kept = run(store, tmp_path / "c", {"shop.csv": alone}, columns={"timestamp": ""})
    assert kept.timestamps is None


@pytest.mark.parametrize("case", ["two dates of unclear meaning", "two unnamed columns"])
def test_several_times_are_asked_about(case: str, store: Store, tmp_path: Path) -> None:
    header, table = TWO_TIMES[case]
    first, second = header.split(",")[2:]
    with pytest.raises(UserError, match=f"several columns that could be the timestamp: '{first}', '{second}'"):
        run(store, tmp_path / "a", {"shop.csv": csv(table, header)})
    dataset = run(store, tmp_path / "b", {"shop.csv": csv(table, header)}, columns={"timestamp": second})
    assert dataset.manifest.info["columns"]["timestamp"] == second


def test_times_that_name_the_same_days_are_no_question(store: Store, tmp_path: Path) -> None:
    table = [(u, i, pd.Timestamp(t, unit="s").strftime("%m %d, %Y"), t) for u, i, t in rows()]
    dataset = run(
        store,
        tmp_path / "in",
        {"shop.csv": csv([(u, i, f'"{d}"', t) for u, i, d, t in table], "user_id,item_id,time,unix")},
    )
    assert dataset.manifest.info["columns"]["timestamp"] == "unix"


def test_file_order_is_said_before_the_import(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(csv([r[:2] for r in rows()], "user_id,item_id"))
    config = IngestConfig(name="shop")
    assert ahead(assign([path], config), config) == [NO_TIME]
    path.write_text(csv(rows()))
    assert ahead(assign([path], config), config) == []


def test_many_files_are_one_import(store: Store, tmp_path: Path) -> None:
    for n in range(130):
        (tmp_path / f"part{n:03}.csv").write_text(csv([(f"u{n % 8}", f"i{n}", START + n)]))
    dataset = ingest([tmp_path], IngestConfig(name="shop", k_core=1), store)
    assert len(dataset.items) == 130
