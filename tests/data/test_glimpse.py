"""Before the import: the first and the last history, in the order in which they will be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from marketplace import csv

from llmesr.config import IngestConfig
from llmesr.data.glimpse import glimpse
from llmesr.data.sources import describe
from llmesr.errors import UserError

TABLE = [("a", "x", "02/01/2021"), ("b", "x", "01/02/2021"), ("a", "y", "01/03/2021"), ("c", "z", "01/01/2021")]


def seen(tmp_path: Path, table: list[tuple[Any, ...]], header: str, **settings: Any) -> list[list[str]]:
    (tmp_path / "shop.csv").write_text(csv(table, header))
    found: list[list[str]] = glimpse(
        describe(tmp_path / "shop.csv"), IngestConfig(name="x", **settings)
    ).values.tolist()
    return found


def test_the_first_and_the_last_history(tmp_path: Path) -> None:
    assert seen(tmp_path, TABLE, "user_id,item_id,time") == [
        ["a", "y", "2021-01-03 00:00:00"], ["a", "x", "2021-02-01 00:00:00"], ["c", "z", "2021-01-01 00:00:00"],
    ]  # fmt: skip


def test_a_stated_format_shows_in_it(tmp_path: Path) -> None:
    found = seen(tmp_path, TABLE, "user_id,item_id,time", time_format="%d/%m/%Y")
    assert [row[1:] for row in found[:2]] == [["x", "2021-01-02 00:00:00"], ["y", "2021-03-01 00:00:00"]]


def test_rows_that_the_import_drops_are_not_in_it(tmp_path: Path) -> None:
    table = [*TABLE, ("a", "x", "02/01/2021"), ("a", "x", "04/01/2021")]
    days = {}
    for repeats in ("keep", "first", "last"):
        found = seen(tmp_path, table, "user_id,item_id,time", repeats=repeats)
        days[repeats] = [(item, time[:10]) for user, item, time in found if user == "a"]
    first, second, third = ("y", "2021-01-03"), ("x", "2021-02-01"), ("x", "2021-04-01")
    assert days == {"keep": [first, second, third], "first": [first, second], "last": [first, third]}


def test_without_times_the_order_of_the_file(tmp_path: Path) -> None:
    table = [r[:2] for r in TABLE]
    assert seen(tmp_path, table, "user_id,item_id") == [["a", "x", ""], ["a", "y", ""], ["c", "z", ""]]


def test_what_would_be_asked_is_asked_here(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="user_id"):
        seen(tmp_path, [("1", "2", "3")] * 3, "wer,was,wo")
