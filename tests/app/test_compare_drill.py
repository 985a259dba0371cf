"""Behind the marks of Compare: slices, outcomes, and the users a click lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from comparing import frame, text, visit
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

from llmesr.data.dataset import USER_ATTRIBUTES, Dataset, load_dataset
from llmesr.data.frame import ITEMS
from llmesr.evaluation import statistics
from llmesr.evaluation.contrast import movers
from llmesr.evaluation.slices import slices
from llmesr.evaluation.table import buckets
from llmesr.evaluation.values import per_user
from llmesr.evaluation.worth import amounts, worth
from llmesr.store import Store, file_digest


def test_the_drill_down_lists_who_gained_and_lost_most_and_leads_to_them(store: Store, runs: Any) -> None:
    dataset, made = runs
    at = visit(view="users")
    frames = {name: [r.per_user() for r in made[name]] for name in ("id/sasrec", "llm-esr/sasrec")}
    moved = movers(frames["id/sasrec"], frames["llm-esr/sasrec"], metric="HR@10")
    gained, lost = frame(at, 1), frame(at, 2)
    assert list(gained["user"].head(3)) == list(moved["user_id"].head(3))
    assert list(lost["user"].head(3)) == list(moved["user_id"].iloc[::-1].head(3))
    assert (gained["gain"] > 0).all()
    at.selectbox(key="pick.among").set_value("Tail Item").run()
    assert dataset.thresholds.tail_items(frame(at, 1)["item's interactions"]).all()


def test_slices_show_the_numbers_of_the_comparison_and_the_users_behind_them(runs: Any) -> None:
    dataset, made = runs
    at = visit(view="slices", column="category")
    assert not at.error
    said = text(at)
    assert "stands out" in said or "there and" in said
    shown = next(d.value for d in at.dataframe if "slice" in d.value.columns and "id/sasrec" in d.value)
    contenders = {"id/sasrec": [r.per_user() for r in made["id/sasrec"]]}
    rows = per_user(contenders, ["HR@10"], "full", "test")
    groups = slices(rows.rows, dataset.thresholds, dataset.catalogue)
    right = statistics.summary(rows, dataset.thresholds, metrics=["HR@10"], groups=groups)
    right = right[right["dimension"] == "category"].set_index("group")
    assert shown.set_index("slice")["id/sasrec"].to_dict() == pytest.approx(right["value"].round(4).to_dict())
    assert shown.set_index("slice")["users"].to_dict() == right["users"].to_dict()
    at.session_state["box.slice"] = True
    at.run()
    assert not at.exception


def test_outcomes_say_who_is_missed_by_both(runs: Any) -> None:
    made = runs[1]
    at = visit(view="users", **{"with": "llm-esr/sasrec", "against": "id/sasrec"})
    shown = next(d.value for d in at.dataframe if "missed" in d.value.columns).set_index("group")
    hits = [[(f := r.per_user())[f["protocol"].eq("full") & f["part"].eq("test")].sort_values("user")["rank"].le(10)
             for r in made[name]] for name in ("id/sasrec", "llm-esr/sasrec")]  # fmt: skip
    nobody = ~np.any([h.to_numpy() for both in hits for h in both], axis=0)
    assert shown.loc["Overall", "missed"] == pytest.approx(nobody.mean())
    assert shown.loc["Overall", ["gained", "same", "missed", "lost"]].sum() == pytest.approx(1)


def test_what_popularity_explains_is_shown_for_any_runs(runs: Any) -> None:
    assert runs
    assert "popularity alone scores" in text(visit(view="popularity"))


def listed_users(at: AppTest) -> Any:
    return next(d.value for d in at.dataframe if "rank before" in d.value.columns)


def test_a_dot_that_is_clicked_lists_its_users_with_both_ranks(runs: Any) -> None:
    data, made = runs
    query = {"dataset": data.id, "against": "id/sasrec"}
    at = visit(**query)
    point = {"customdata": [0.1, 0.2, "llm-esr/sasrec", "Tail Item"]}
    at.session_state["groups"] = AttributeDictionary({"selection": {"points": [point]}})
    at.run()
    assert not at.exception
    rows = listed_users(at)
    before = made["id/sasrec"][0].per_user()
    asked = (before["part"] == "test") & (before["protocol"] == "full")
    tail = before[asked & data.thresholds.tail_items(before["target_popularity"])]
    assert set(rows["user"]) == set(tail["user_id"])
    assert "Tail Item: id/sasrec (before) and llm-esr/sasrec (after)" in text(at)


def test_a_part_of_a_bar_lists_the_users_it_counts(runs: Any) -> None:
    data, made = runs
    at = visit(dataset=data.id, against="id/sasrec", view="users", **{"with": "llm-esr/sasrec"})
    moved = movers(*([r.per_user() for r in made[name]] for name in ("id/sasrec", "llm-esr/sasrec")), metric="HR@10")
    for outcome, words in (("gained", "gained"), ("missed", "missed by both")):
        point = {"customdata": [0, outcome, "Tail Item"]}
        at.session_state["outcomes"] = AttributeDictionary({"selection": {"points": [point]}})
        at.run()
        assert not at.exception
        tail = data.thresholds.tail_items(moved["target_popularity"])
        wanted = moved[tail & (moved["outcome"] == outcome)]
        rows = next(d.value for d in at.dataframe if list(d.value.columns)[:2] == ["user", "gain"])
        assert set(rows["user"]) == set(wanted["user_id"])
        assert f"Tail Item, {words}: id/sasrec (before)" in text(at)


def test_a_dot_of_a_curve_lists_the_users_of_its_bucket(runs: Any) -> None:
    data, made = runs
    at = visit(dataset=data.id, against="id/sasrec", view="curves")
    frame = made["id/sasrec"][0].per_user()
    asked = frame[(frame["part"] == "test") & (frame["protocol"] == "full")]
    bucket = buckets(asked, "length")[0]
    point = {"customdata": [0.1, 0.2, 30, "llm-esr/sasrec", bucket.name]}
    at.session_state["curve.length"] = AttributeDictionary({"selection": {"points": [point]}})
    at.run()
    assert not at.exception
    assert set(listed_users(at)["user"]) == set(asked["user_id"][bucket.members])


def test_slices_say_who_is_served_worst_and_what_hits_are_worth(store: Store, runs: Any) -> None:
    data, made = runs
    add_columns(store, data)
    query = {"dataset": data.id, "against": "id/sasrec", "view": "slices", "about": "llm-esr/sasrec"}
    at = visit(**query, open=["fairness", "worth"])
    said = text(at)
    assert "By **plan**, llm-esr/sasrec serves" in said
    assert "value-weighted HR@10: each held-out item weighs as much as its price" in said
    table = next(d.value for d in at.dataframe if "value-weighted HR@10" in d.value.columns)
    frames = {name: [r.per_user() for r in made[name]] for name in ("id/sasrec", "llm-esr/sasrec")}
    prices = amounts(load_dataset(store, data.id).catalogue)["price"]
    wanted = worth(frames, "id/sasrec", prices).set_index("run")["weighted"]
    shown = table.set_index("configuration")["value-weighted HR@10"]
    assert shown["llm-esr/sasrec"].startswith(f"{wanted['llm-esr/sasrec']:.3f} [")


def add_columns(store: Store, data: Dataset) -> None:
    """Give every item a price and every user a plan."""
    folder = store.path("datasets", data.id)
    plans = pd.DataFrame({"user_id": data.user_ids, "plan": np.where(np.arange(data.n_users) % 2, "paid", "free")})
    plans.to_parquet(folder / USER_ATTRIBUTES, index=False)
    catalogue = pd.read_parquet(folder / ITEMS)
    catalogue["price"] = [f"${10 + i % 7}" for i in range(len(catalogue))]
    catalogue.to_parquet(folder / ITEMS, index=False)
    with store.changing("datasets", data.id) as manifest:
        manifest.files |= {name: file_digest(folder / name) for name in (ITEMS, USER_ATTRIBUTES)}
