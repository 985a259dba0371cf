"""The Compare page in its four states, and every control that matters, by the numbers it shows."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from app_pages import open_page
from factories import (
    HOSTILE,
    corrupt,
    make_dataset,
    make_embedding,
    make_run,
    make_running_run,
    make_search,
    make_standard_runs,
)
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

from llmesr.data.dataset import USER_ATTRIBUTES, Dataset, load_dataset
from llmesr.data.frame import ITEMS
from llmesr.data.groups import Thresholds
from llmesr.evaluation import statistics
from llmesr.evaluation.contrast import movers
from llmesr.evaluation.slices import slices
from llmesr.evaluation.table import buckets, metric_table
from llmesr.evaluation.values import per_user
from llmesr.evaluation.worth import amounts, worth
from llmesr.runs.record import Run
from llmesr.store import Store, file_digest


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = Store(tmp_path_factory.mktemp("shop"))
    dataset = make_dataset(root, users=150, items=60, seed=1)
    make_embedding(root, dataset)
    return root.root, make_standard_runs(root, dataset, seeds=(42, 43))


@pytest.fixture
def runs(store: Store, made_once: Any) -> Any:
    """A dataset with text vectors and five methods, the trained ones under two seeds; every test has its own copy."""
    root, made = made_once
    shutil.copytree(root, store.root, dirs_exist_ok=True)
    return load_dataset(store, "shop"), {name: [Run(store, r.id) for r in group] for name, group in made.items()}


def visit(**query: str | list[str]) -> AppTest:
    at: AppTest = open_page("compare", **query)
    assert not at.exception
    return at


def text(at: AppTest) -> str:
    return "\n".join(
        str(e.value).replace("\\", "") for kind in (at.markdown, at.info, at.error, at.caption) for e in kind
    )


def frame(at: AppTest, position: int = 0) -> Any:
    """A table of the view that is open; the verdicts stand above it where there is something to compare."""
    tables = [d.value for d in at.dataframe if "Overall" not in d.value.columns]
    return tables[position]


def verdicts(at: AppTest) -> Any:
    """The matrix of verdicts: a row per configuration, a column per group."""
    return next(d.value for d in at.dataframe if "Overall" in d.value.columns).set_index("configuration")


def test_empty_says_what_to_do(store: Store) -> None:
    assert "There is no dataset yet" in text(visit())


def test_without_an_evaluated_run_it_points_to_training(store: Store, tiny: Dataset) -> None:
    make_running_run(store, tiny)
    assert "No run of this dataset has been evaluated yet" in text(visit())


def test_one_damaged_run_is_named_and_the_others_are_compared(store: Store, runs: Any) -> None:
    _, made = runs
    corrupt(store, "runs", made["popularity"][0].id)
    at = visit()
    assert "1 damaged run left out" in [e.label for e in at.expander]
    assert set(frame(at)["configuration"]) == {"semantic-knn", "id/sasrec", "llm-init/sasrec", "llm-esr/sasrec"}


def test_a_run_with_damaged_ranks_is_one_sentence(store: Store, runs: Any) -> None:
    _, made = runs
    corrupt(store, "runs", made["popularity"][0].id, how="per_user")
    at = visit()
    assert "is damaged" in text(at)
    assert not at.exception


def test_a_running_run_does_not_disturb(store: Store, runs: Any) -> None:
    dataset, _ = runs
    make_running_run(store, dataset, "adapter")
    assert "adapter/sasrec" not in set(frame(visit())["configuration"])


def test_numbers_and_verdict_are_those_of_the_statistics(store: Store, runs: Any) -> None:
    dataset, made = runs
    at = visit()
    frames = {name: [r.per_user() for r in group] for name, group in made.items()}
    alone = ("popularity", "semantic-knn")
    expected = statistics.summary(frames, dataset.thresholds, metrics=["HR@10"], alone=alone)
    shown = frame(at)
    assert list(shown["mean"]) == pytest.approx(list(expected["value"]))
    assert list(shown["95% low"]) == pytest.approx(list(expected["low"]))
    compared = statistics.compare(frames, dataset.thresholds, baseline="id/sasrec", metrics=["HR@10"], alone=alone)
    differences = frame(at, 1)
    assert list(differences["p (corrected)"]) == pytest.approx(list(compared["p_adjusted"]))
    overall = compared[(compared["run"] == "llm-esr/sasrec") & (compared["group"] == "Overall")].iloc[0]
    assert "Compared with id/sasrec, in HR@10" in text(at).replace("**", "")
    assert f"{overall['difference']:+.3f}" in text(at)
    assert dataset.thresholds.describe() in text(at)


def test_a_moved_threshold_regroups_without_evaluation(store: Store, runs: Any) -> None:
    dataset, made = runs
    at = visit()
    item = dataset.thresholds.item + 5
    at.slider(key="tail_item").set_value(item).run()
    assert not at.exception
    rows = made["id/sasrec"][0].per_user()
    table = metric_table(rows, Thresholds(item=item, user=dataset.thresholds.user))
    users = int(table.loc[table["group"] == "Tail Item", "users"].iloc[0])
    shown = frame(at)
    assert set(shown.loc[shown["group"] == "Tail Item", "users"]) == {users}
    assert f"fewer than {item} training interactions" in text(at)
    at.button[[b.label for b in at.button].index("80/20")].click().run()
    shown = frame(at)
    assert at.slider(key="tail_item").value == dataset.thresholds.item
    assert set(shown.loc[shown["group"] == "Tail Item", "users"]) != {users}


def test_metric_k_protocol_reference_and_seeds(store: Store, runs: Any) -> None:
    dataset, made = runs
    at = visit()
    at.segmented_control(key="pick.metric").set_value("HR").run()
    at.segmented_control(key="pick.k").set_value("5").run()
    at.radio(key="pick.protocol").set_value("uni100").run()
    at.selectbox(key="pick.against").set_value("llm-init/sasrec").run()
    at.multiselect(key="pick.seeds").set_value(["43"]).run()
    assert not at.exception
    shown = frame(at)
    assert set(shown["metric"]) == {"HR@5"}
    table = metric_table(made["id/sasrec"][1].per_user(), dataset.thresholds, protocol="uni100", ks=(5,))
    value = table.loc[(table["group"] == "Overall") & (table["metric"] == "HR@5"), "value"].iloc[0]
    own = shown[(shown["configuration"] == "id/sasrec") & (shown["group"] == "Overall")].iloc[0]
    assert (own["mean"], own["seeds"]) == (pytest.approx(value), 1)
    assert set(frame(at, 1)["baseline"]) == {"llm-init/sasrec"}
    assert "against 100 random items" in text(at)


@pytest.mark.parametrize("view", ["curves", "seesaw", "lists", "users"])
def test_every_view_draws(store: Store, runs: Any, view: str) -> None:
    at = visit(view=view)
    assert not at.error
    assert at.dataframe


@pytest.mark.parametrize(
    ("view", "box", "column"), [("groups", "box.every", "metric"), ("lists", "box.overlap", "run")]
)
def test_long_tables_come_when_they_are_opened(store: Store, runs: Any, view: str, box: Any, column: str) -> None:
    at = visit(view=view)
    before = len(at.dataframe)
    at.session_state[box] = True
    at.run()
    assert not at.exception
    assert not at.error
    assert len(at.dataframe) == before + 1
    assert column in at.dataframe[-1].value.columns


def test_who_pays_shows_gains_of_both_sides(store: Store, runs: Any) -> None:
    dataset, made = runs
    shown = frame(visit(view="seesaw")).set_index("run")
    frames = {name: [r.per_user() for r in group] for name, group in made.items()}
    alone = ("popularity", "semantic-knn")
    compared = statistics.compare(frames, dataset.thresholds, baseline="id/sasrec", metrics=["HR@10"], alone=alone)
    tail = compared[(compared["run"] == "semantic-knn") & (compared["group"] == "Tail Item")]
    assert shown.loc["semantic-knn", "tail"] == pytest.approx(tail["difference"].iloc[0])


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


def test_beyond_accuracy_has_the_tail_share(store: Store, runs: Any) -> None:
    dataset, made = runs
    shown = frame(visit(view="lists")).set_index(["run", "group"])
    top = made["popularity"][0].top_items()[:, :10]
    share = dataset.thresholds.tail_items(dataset.item_counts[top]).mean()
    assert shown.loc[("popularity", "Overall"), "APLT@10"] == pytest.approx(share)
    assert shown["ILD@10"].notna().all()


def test_one_configuration_alone_is_shown_but_not_judged(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "id")
    at = visit()
    assert "Add a second configuration" in text(at)
    assert set(frame(at)["configuration"]) == {"id/sasrec"}


def test_hostile_titles_are_text(store: Store) -> None:
    dataset = make_dataset(store, name="hostile <b>", hostile=True)
    make_standard_runs(store, dataset)
    at = visit(view="users")
    titles = set(frame(at, 1)["held-out item"]) | set(frame(at, 2)["held-out item"])
    assert titles & set(HOSTILE)
    assert not any("<script" in str(m.value) for m in at.markdown)


def test_without_a_search_the_view_says_where_to_begin(store: Store, runs: Any) -> None:
    assert "No search for settings on this dataset yet" in text(visit(view="search"))


def test_a_search_lists_its_trials_and_hands_over_its_best_run(store: Store, runs: Any) -> None:
    dataset, _ = runs
    search = make_search(store, dataset)
    at = visit(view="search", compare="id/sasrec")
    shown = frame(at)
    assert shown["trial"].tolist() == [1, 2, 3, 4]
    assert shown["state"].tolist() == ["complete", "pruned", "complete", "failed"]
    assert shown["best"].tolist() == [0.11, 0.11, 0.14, 0.14]
    assert shown["dropout"].tolist() == [0.2, 0.6, 0.4, 0.3]
    assert "dropout 75%, layers 25%" in text(at)
    assert "Validation items (leave-one-out), full ranking" in text(at)
    assert "Held-out test items" not in text(at)
    at.button(key="search.compare").click().run()
    assert not at.exception
    name = next(n for n in set(frame(at)["configuration"]) if "dropout=0.4" in n)
    best = metric_table(Run(store, search.run_id(3)).per_user(), dataset.thresholds)
    value = best.loc[(best["group"] == "Overall") & (best["metric"] == "HR@10"), "value"].iloc[0]
    own = frame(at)
    assert own.loc[(own["configuration"] == name) & (own["group"] == "Overall"), "mean"].iloc[0] == pytest.approx(value)


def test_a_search_under_way_says_how_far_it_is(store: Store, runs: Any) -> None:
    dataset, _ = runs
    make_search(store, dataset, finished=False)
    at = visit(view="search")
    assert "3 of 4 trials are done; running, about 42 s left" in text(at)
    assert not [b for b in at.button if b.key == "search.compare"]


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


def test_an_open_box_is_in_the_link(runs: Any) -> None:
    data, _ = runs
    at = visit(dataset=data.id, open="every")
    assert any("metric" in d.value.columns and "dimension" in d.value.columns for d in at.dataframe)
    at.session_state["box.every"] = False
    at.run()
    assert "open" not in at.query_params


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


def test_a_question_leads_to_its_views_and_a_link_to_a_view_brings_its_question(store: Store, runs: Any) -> None:
    at = visit(view="lists")
    question, view = (at.segmented_control(key=key) for key in ("compare.question", "pick.view"))
    assert (question.value, view.value) == ("At what price?", "lists")
    question.set_value("Does it hold?").run()
    assert not at.exception
    view = at.segmented_control(key="pick.view")
    assert view.value == "popularity"
    assert list(view.options) == ["Popularity", "Splits", "Defend"]
    assert at.query_params["view"] in ("popularity", ["popularity"])
    view.set_value("splits").run()
    assert at.segmented_control(key="compare.question").value == "Does it hold?"
    at = visit(view="no-such-view")
    assert at.segmented_control(key="compare.question").value == "For whom?"
    assert any("no-such-view" in w.value.replace("\\", "") for w in at.warning)
