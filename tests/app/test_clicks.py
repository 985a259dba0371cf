"""Marks of charts: what a click lists stands in the address, and every chart of users or items has it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from app_pages import healthy, open_page, texts
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

import llmesr
from llmesr.evaluation.popularity import popularity_ranks
from llmesr.evaluation.table import buckets, metric_values

PAIR = {"compare": ["id/sasrec", "llm-esr/sasrec"], "against": "id/sasrec"}
NO_USERS = {
    "lorenz": "a curve of shares; the dots beside it list their items",
    "policy.front.*": "a policy: a click shows it",
    "policy.weights.*": "a weight by popularity",
    "trials": "a trial of a search",
    "board.curves": "an epoch",
    "loss.*": "an epoch",
    "validation.*": "an epoch",
    "finetune.*": "an epoch",
    "near.ranks": "a run, about the user of the page",
    "near.content": "a weight, about the user of the page",
    "lab.ranks": "a curve over all users; those who see it first are listed below",
    "lab.edit.ranks": "a curve over all users; those whose lists change are listed below",
    "map.*": "a click selects, as a lasso does",
    "finding.*": "a finding as it was kept",
}
"""Charts without a list behind their marks, and what a mark of theirs stands for."""


def click(at: AppTest, key: str, *carried: Any) -> AppTest:
    at.session_state[key] = AttributeDictionary({"selection": {"points": [{"customdata": list(carried)}]}})
    return healthy(at.run())  # type: ignore[no-any-return]


def table(at: AppTest, *columns: str) -> pd.DataFrame:
    return next(d.value for d in at.dataframe if set(columns) <= set(d.value.columns))


def test_a_click_stands_in_the_address_until_it_is_closed(runs: Any) -> None:
    data, _ = runs
    at = healthy(open_page("compare", dataset=data.id, **PAIR))
    assert "rank before" not in texts(at)
    click(at, "differences", 0.1, 0.2, "llm-esr/sasrec", "Tail Item")
    assert at.query_params["mark.differences"] == ["llm-esr/sasrec", "Tail Item"]
    users = set(table(at, "rank before")["user"])

    again = healthy(
        open_page("compare", dataset=data.id, **PAIR, **{"mark.differences": ["llm-esr/sasrec", "Tail Item"]})
    )
    assert set(table(again, "rank before")["user"]) == users, "a link lists the same"
    again.button_group(key="pick.metric").set_value("NDCG").run()
    assert set(table(healthy(again), "rank before")["user"]) == users, "it stays when a knob is turned"
    again.button(key="drill.differences.close").click().run()
    assert "mark.differences" not in again.query_params
    assert not [d for d in healthy(again).dataframe if "rank before" in d.value]


def test_a_mark_that_was_clicked_away_or_closed_stays_away(runs: Any) -> None:
    data, _ = runs
    at = healthy(open_page("compare", dataset=data.id, **PAIR))
    click(at, "groups", 0.1, 0.2, "llm-esr/sasrec", "Overall")
    at.button(key="drill.groups.close").click().run()
    assert "mark.groups" not in at.query_params, "though the chart still shows it as clicked"
    click(at, "groups", 0.1, 0.2, "llm-esr/sasrec", "Tail Item")
    at.session_state["groups"] = AttributeDictionary({"selection": {"points": []}})
    healthy(at.run())
    assert "mark.groups" not in at.query_params


def test_a_link_that_names_a_configuration_that_is_not_there_says_so(runs: Any) -> None:
    data, _ = runs
    at = healthy(open_page("compare", dataset=data.id, **PAIR, **{"mark.groups": ["gone", "Overall"]}))
    assert "The link names gone, which is not compared here." in texts(at)


@pytest.mark.parametrize("about", ["llm-esr/sasrec", "id/sasrec"])
def test_a_dot_of_a_slice_lists_its_users_of_the_baseline_too(runs: Any, about: str) -> None:
    data, made = runs
    at = healthy(open_page("compare", dataset=data.id, view="slices", about=about, column="history length", **PAIR))
    frame = made["id/sasrec"][0].per_user()
    asked = frame[(frame["part"] == "test") & (frame["protocol"] == "full")]
    bucket = buckets(asked, "length")[0]
    click(at, "slices", "", 0.1, 0.2, 30, about, bucket.name)
    assert set(table(at, "rank before", "rank after")["user"]) == set(asked["user_id"][bucket.members])


@pytest.mark.parametrize("key", ["seesaw", "tradeoff"])
def test_a_dot_of_a_trade_off_lists_the_users_of_tail_and_head_items(runs: Any, key: str) -> None:
    data, made = runs
    at = healthy(open_page("compare", dataset=data.id, view="seesaw", **PAIR))
    click(at, key, "llm-esr/sasrec")
    frame = made["id/sasrec"][0].per_user()
    asked = frame[(frame["part"] == "test") & (frame["protocol"] == "full")]
    tail = data.thresholds.tail_items(asked["target_popularity"])
    assert set(table(at, "rank before", "rank after")["user"]) == set(asked["user_id"][tail])
    at.button_group(key=f"pick.side.{key}").set_value("Head Item").run()
    assert set(table(healthy(at), "rank before")["user"]) == set(asked["user_id"][~tail])


def test_a_dot_of_the_lists_lists_what_is_shown_most_and_by_it_alone(runs: Any) -> None:
    data, made = runs
    at = healthy(open_page("compare", dataset=data.id, view="lists", **PAIR))
    click(at, "beyond", "llm-esr/sasrec")
    shown = {
        name: np.mean(
            [np.bincount(r.top_items()[:, :10].ravel(), minlength=data.n_items + 1) for r in made[name]], axis=0
        )[1:]
        for name in PAIR["compare"]
    }
    rows = table(at, "item", "lists of llm-esr/sasrec")
    ids = data.catalogue["item_id"].to_numpy(object)
    wanted = pd.Series(shown["llm-esr/sasrec"].round(1), index=ids)
    assert rows["lists of llm-esr/sasrec"].is_monotonic_decreasing
    assert rows.set_index("item")["lists of llm-esr/sasrec"].to_dict() == wanted[wanted > 0].to_dict()
    at.button_group(key="pick.shown").set_value("alone").run()
    alone = (shown["llm-esr/sasrec"] > 0) & (shown["id/sasrec"] == 0)
    if alone.any():
        assert set(table(healthy(at), "item", "lists of llm-esr/sasrec")["item"]) == set(ids[alone])


def test_a_bar_of_popularity_lists_whom_popularity_finds_as_well_or_not(runs: Any) -> None:
    data, made = runs
    at = healthy(open_page("compare", dataset=data.id, view="popularity", **PAIR))
    own, base = made["id/sasrec"][0].per_user(), popularity_ranks(data)
    asked = [f[f["part"].eq("test") & f["protocol"].eq("full")].sort_values("user") for f in (own, base)]
    seeds = [
        f[f["part"].eq("test") & f["protocol"].eq("full")].sort_values("user")
        for f in (r.per_user() for r in made["id/sasrec"])
    ]
    found = np.any([metric_values(f["rank"].to_numpy(), "HR@10") > 0 for f in seeds], axis=0)
    alone = asked[1]["rank"].to_numpy() <= 10
    for part, wanted in (("both", found & alone), ("rest", found & ~alone)):
        click(at, "popularity", 0.1, "3%", "full", part, "id/sasrec")
        assert set(table(at, "rank before")["user"]) == set(asked[0]["user_id"][wanted]), part


def test_a_cell_of_the_overlaps_lists_the_users_with_least_in_common_first(runs: Any) -> None:
    data, made = runs
    at = healthy(open_page("compare", dataset=data.id, view="lists", open="overlap", **PAIR))
    at.session_state["overlap"] = AttributeDictionary({"selection": {"cells": [(0, "llm-esr/sasrec")]}})
    healthy(at.run())
    rows = table(at, "user", "overlap")
    assert rows["overlap"].is_monotonic_increasing
    first, second = (made[name][0].top_items()[:, :10] for name in PAIR["compare"])
    shared = [len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert rows["overlap"].mean() == pytest.approx(np.mean(shared), abs=1e-3)


@pytest.mark.parametrize(
    ("page", "query", "key", "carried", "columns"),
    [
        ("overview", {}, "headline", ("llm-esr/sasrec", "Tail Item"), ("user", "rank before", "rank after")),
        ("story", {"step": "2"}, "story.2", ("Tail Item",), ("user", "rank before", "rank after")),
        ("story", {"step": "3"}, "story.3", (3, 7), ("item", "title", "training interactions")),
        ("story", {"step": "4"}, "story.4", ("Head Item",), ("user", "rank before", "rank after")),
        ("story", {"step": "5"}, "story.5", ("Tail User",), ("user", "rank before", "rank after")),
    ],
)
def test_marks_elsewhere_list_their_users_and_items(
    runs: Any, page: str, query: dict[str, str], key: str, carried: tuple[Any, ...], columns: tuple[str, ...]
) -> None:
    data, made = runs
    at = click(healthy(open_page(page, dataset=data.id, **query)), key, *carried)
    rows = table(at, *columns)
    if "user" in columns:
        frame = made["id/sasrec"][0].per_user()
        asked = frame[(frame["part"] == "test") & (frame["protocol"] == "full")]
        members = data.thresholds.members(asked["target_popularity"].to_numpy(), asked["history_length"].to_numpy())
        assert set(rows["user"]) == set(asked["user_id"][members[carried[-1]]])
    else:
        assert rows["item"].tolist() == [data.catalogue["item_id"].iloc[6]]


def test_a_dot_of_popularity_lists_the_items_chosen_as_often(runs: Any) -> None:
    data, _ = runs
    count = int(data.item_counts[1])
    at = click(healthy(open_page("datasets", dataset=data.id, look="profile")), "popularity", count)
    wanted = data.catalogue["item_id"][data.item_counts[1:] == count]
    assert set(table(at, "item", "training interactions")["item"]) == set(wanted)


def test_a_mark_of_a_history_opens_its_user_and_its_item(runs: Any) -> None:
    data, _ = runs
    user, other = str(data.user_ids[0]), str(data.user_ids[1])
    at = click(healthy(open_page("neighbours", dataset=data.id, need="search", user=user)), "near.text", other, 5)
    assert f"chosen by {other}" in texts(at).replace("\\", "")
    assert f"{other} on Neighbours" in [str(link.proto.label).replace("\\", "") for link in at.get("page_link")]


def test_every_chart_has_a_list_behind_its_marks_or_says_what_a_mark_is() -> None:
    bare = set()
    for path in (Path(llmesr.__file__).parent / "views").rglob("*.py"):
        if path.name in ("exhibits.py", "clicks.py"):
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "exhibits.chart":
                key = next(ast.unparse(k.value) for k in call.keywords if k.arg == "key")
                bare.add(re.sub(r"\{[^}]*\}", "*", key.removeprefix("f").strip("'\"")))
    assert bare == set(NO_USERS)


NONSENSE = "[there](https://example.org)"


@pytest.mark.parametrize(
    ("page", "query", "marks"),
    [
        ("overview", {}, {"headline": ["llm-esr/sasrec", NONSENSE]}),
        ("story", {"step": "2"}, {"story.2": [NONSENSE]}),
        ("story", {"step": "3"}, {"story.3": [NONSENSE]}),
        ("datasets", {"look": "profile"}, {"lengths": [NONSENSE, "3"], "popularity": [NONSENSE]}),
        ("compare", {"view": "groups"}, {"groups": ["id/sasrec", NONSENSE], "verdicts": [NONSENSE, "Overall"]}),
        ("compare", {"view": "curves"}, {"curve.length": ["id/sasrec"], "curve.popularity": [NONSENSE, NONSENSE]}),
        ("compare", {"view": "users"}, {"outcomes": ["gained", NONSENSE]}),
        ("compare", {"view": "slices"}, {"slices": [NONSENSE]}),
        ("compare", {"view": "seesaw"}, {"seesaw": [NONSENSE, "x"], "tradeoff": ["x"]}),
        ("compare", {"view": "lists", "open": "overlap"}, {"beyond": [NONSENSE], "overlap.users": [NONSENSE, "x"]}),
        ("compare", {"view": "popularity"}, {"popularity": [NONSENSE, "both", "id/sasrec"]}),
        ("neighbours", {}, {"near.text": [NONSENSE, "x"]}),
    ],
)
def test_a_link_may_say_anything(runs: Any, page: str, query: dict[str, str], marks: dict[str, list[str]]) -> None:
    data, _ = runs
    said = {f"mark.{key}": value for key, value in marks.items()}
    assert NONSENSE not in texts(healthy(open_page(page, dataset=data.id, **query, **said)))
