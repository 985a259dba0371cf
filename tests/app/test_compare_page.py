"""The Compare page in its four states, and every control that matters, by the numbers it shows."""

from __future__ import annotations

from typing import Any

import pytest
from comparing import frame, text, verdicts, visit
from factories import (
    HOSTILE,
    corrupt,
    make_dataset,
    make_run,
    make_running_run,
    make_search,
    make_standard_runs,
)

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation import statistics
from llmesr.evaluation.table import metric_table
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.views.shared import exhibits


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


def test_the_file_of_verdicts_holds_numbers(store: Store, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, made = runs
    files: dict[str, Any] = {}
    monkeypatch.setattr(exhibits, "download_csv", lambda frame, name, **more: files.update({name: frame}))
    at = visit()
    saved = files["verdicts"].set_index(["configuration", "group"])
    frames = {name: [r.per_user() for r in group] for name, group in made.items()}
    alone = ("popularity", "semantic-knn")
    compared = statistics.compare(frames, dataset.thresholds, baseline="id/sasrec", metrics=["HR@10"], alone=alone)
    truth = compared.set_index(["run", "group"]).loc[list(saved.index)]
    for column, of in {
        "difference": "difference",
        "95% low": "low",
        "95% high": "high",
        "p (corrected)": "p_adjusted",
    }.items():
        assert list(saved[column]) == pytest.approx(list(truth[of])), column
    assert list(saved["users"]) == list(truth["users"])
    assert set(saved["metric"]) == {"HR@10"}
    assert set(saved["baseline"]) == {"id/sasrec"}
    assert saved["verdict"].str.len().min() > 0
    assert "Overall" in verdicts(at).columns, "the page shows it in words"


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


def test_a_search_states_the_head_and_tail_that_its_numbers_have(store: Store, runs: Any) -> None:
    dataset = runs[0]
    search = make_search(store, dataset)
    assert "begun before its definition of head and tail was kept" in text(visit(view="search"))
    with store.changing("searches", search.id) as manifest:
        manifest.info["thresholds"] = {"item": 77, "user": 9}
    assert "Tail item: fewer than 77 training interactions." in text(visit(view="search"))


def test_a_search_under_way_says_how_far_it_is(store: Store, runs: Any) -> None:
    dataset, _ = runs
    make_search(store, dataset, finished=False)
    at = visit(view="search")
    assert "3 of 4 trials are done; running, about 42 s left" in text(at)
    assert not [b for b in at.button if b.key == "search.compare"]


def test_an_open_box_is_in_the_link(runs: Any) -> None:
    data, _ = runs
    at = visit(dataset=data.id, open="every")
    assert any("metric" in d.value.columns and "dimension" in d.value.columns for d in at.dataframe)
    at.session_state["box.every"] = False
    at.run()
    assert "open" not in at.query_params


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
