"""The Neighbours page: full, empty, damaged, while a run trains; needs, search, and the numbers it shows."""

from __future__ import annotations

from typing import Any

import pytest
from explorer import healthy, opened, tables, words
from factories import corrupt, make_dataset, make_run, make_running_run
from streamlit.testing.v1 import AppTest

from llmesr.data.dataset import load_dataset
from llmesr.evaluation.contenders import best_without_and_with_text, contenders, validation_score
from llmesr.runs.record import list_runs
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.views.cache.kept import clear
from llmesr.views.neighbours.case import Case, changes

pytest_plugins = ("explorer",)


def run_of(store: Store, method: str) -> Any:
    return next(r for r in list_runs(store) if r.config.method == method)


def metric(app: AppTest, label: str) -> str:
    return next(m.value for m in app.metric if m.label == label)


def pair(store: Store) -> dict[str, str]:
    """The two runs that most tests look at, as the link says them."""
    return {"before": run_of(store, "id").id, "after": run_of(store, "llm-esr").id}


def test_the_runs_are_those_of_the_overview(trained: Store) -> None:
    """The best on validation without text and with text, by the rule that decides everywhere."""
    every = contenders(list_runs(trained))
    best = best_without_and_with_text(every, lambda c: validation_score(c.runs))
    app = opened("neighbours")
    assert [app.selectbox(key=f"pick.{key}").value for key in ("before", "after")] == [c.ids[0] for c in best if c]


def test_the_most_helped_tail_user_comes_first_with_both_ranks(trained: Store) -> None:
    app = opened("neighbours", **pair(trained))
    assert healthy(app), words(app)
    dataset = load_dataset(trained, "shop")
    plain, esr = (run_of(trained, m).per_user() for m in ("id", "llm-esr"))
    best = changes(plain, esr, "full", dataset.thresholds).iloc[0]
    assert app.selectbox(key="pick.user").value == str(dataset.user_ids[int(best["user"])])
    assert metric(app, "Rank by id/sasrec") == str(int(best["before"]))
    assert metric(app, "Rank by llm-esr/sasrec") == str(int(best["after"]))
    assert "full ranking over all items" in words(app)
    assert dataset.thresholds.tail_users(best["history_length"])


def test_what_stands_against_the_two_configurations_is_said_above_the_user(trained: Store) -> None:
    app = opened("neighbours", **pair(trained))
    (said,) = [w.value.replace("\\", "") for w in app.warning if "Not settled yet" in w.value]
    assert "There are 4 serious doubts, above all: " in said
    box = next(e for e in app.expander if e.label.startswith("Before you repeat this: 4 serious"))
    listed = [m.value.replace("\\", "") for m in box.markdown]
    assert any("id/sasrec was still improving when its 2 epochs ran out" in line for line in listed)
    assert sum(said.split("above all: ")[1] in line for line in listed) == 1


def test_the_most_hurt_are_another_list(trained: Store) -> None:
    app = opened("neighbours", need="hurt", **pair(trained))
    assert healthy(app), words(app)
    rank = {r: int(metric(app, f"Rank by {r}/sasrec").replace(",", "")) for r in ("id", "llm-esr")}
    assert rank["llm-esr"] > rank["id"]


def test_any_user_can_be_searched_and_linked(trained: Store) -> None:
    dataset = load_dataset(trained, "shop")
    user_id = str(dataset.user_ids[dataset.split.users("test")[7]])
    app = opened("neighbours", need="search", user=user_id)
    assert healthy(app), words(app)
    assert f"User {user_id}" in [s.value for s in app.subheader]
    app.text_input(key="near.id").set_value("nobody").run()
    assert "is not in dataset" in words(app)


def test_random_users_can_be_drawn_again(trained: Store) -> None:
    app = opened("neighbours", need="random")
    first = app.selectbox(key="pick.user").options
    app.button(key="near.draw").click().run()
    assert healthy(app), words(app)
    assert app.selectbox(key="pick.user").options != first


def test_every_run_is_ranked_and_the_content_term_tried(trained: Store) -> None:
    dataset = load_dataset(trained, "shop")
    user = int(dataset.split.users("test")[7])
    app = opened("neighbours", need="search", user=str(dataset.user_ids[user]), **pair(trained))
    listed = tables(app, "Label", "Rank")[0].set_index("Label")["Rank"]
    for method in ("popularity", "id", "llm-esr"):
        run = run_of(trained, method)
        row = run.per_user().query("user == @user and part == 'test' and protocol == 'full'")
        assert listed[run.label] == row["rank"].item()
    case = Case.of(dataset, user)
    recommender = Recommender(ScoredRun(trained, run_of(trained, "llm-esr")))
    assert case.target is not None
    rank = recommender.rank_of(case.read.tolist(), case.target, ScoringPolicy())
    assert rank == listed["llm-esr/sasrec"]  # without a content term it is the evaluated rank


def test_similar_users_by_text_are_those_the_run_was_taught_by(trained: Store) -> None:
    from llmesr.retrieval.similar import load_similar

    dataset = load_dataset(trained, "shop")
    user = int(dataset.split.users("test")[7])
    app = opened("neighbours", need="search", user=str(dataset.user_ids[user]), **pair(trained))
    stored = load_similar(trained, run_of(trained, "llm-esr").manifest.parent("neighbours"))
    listed, behaviour = tables(app, "User", "Cosine")
    assert listed["User"].tolist() == [str(dataset.user_ids[u]) for u in stored.users[user][:10]]
    assert listed["Cosine"].tolist() == pytest.approx(stored.similarity[user][:10].tolist())
    assert len(behaviour) == 10
    assert behaviour["Cosine"].is_monotonic_decreasing
    assert "the users this run was taught by" in words(app)


def test_uni100_shows_its_own_ranks(trained: Store) -> None:
    app = opened("neighbours", protocol="uni100", **pair(trained))
    assert healthy(app), words(app)
    dataset = load_dataset(trained, "shop")
    user = dataset.user(str(app.selectbox(key="pick.user").value))
    frame = run_of(trained, "llm-esr").per_user()
    row = frame[frame["user"] == user].query("part == 'test' and protocol == 'uni100'")
    assert metric(app, "Rank by llm-esr/sasrec") == str(row["rank"].item())


def test_an_empty_root_and_a_dataset_without_runs_say_what_to_do(store: Store) -> None:
    clear()
    assert "There is no dataset yet" in words(opened("neighbours"))
    dataset = make_dataset(store, users=40, items=25)
    make_running_run(store, dataset)
    app = opened("neighbours")
    assert not app.exception
    assert "No run of this dataset has finished yet" in words(app)


def test_runs_without_a_model_still_show_ranks(store: Store) -> None:
    clear()
    dataset = make_dataset(store, users=80, items=40)
    for method in ("popularity", "id"):
        make_run(store, dataset, method)
    app = opened("neighbours")
    assert not app.exception
    assert len(tables(app, "Label", "Rank")[0]) == 2
    assert "does not represent users" in words(app)
    assert "has no text vectors yet" in words(app)


def test_a_damaged_run_is_named(trained: Store) -> None:
    corrupt(trained, "runs", run_of(trained, "popularity").id)
    app = opened("neighbours")
    assert not app.exception
    assert any("damaged run" in e.label for e in app.expander)
    assert "Rank by id/sasrec" in [m.label for m in app.metric]
    corrupt(trained, "runs", run_of(trained, "id").id, "per_user")
    clear()
    app = opened("neighbours")
    assert not app.exception
    assert "is damaged" in words(app)


def test_the_history_and_what_of_it_speaks_for_the_item_stand_beside_it(trained: Store) -> None:
    said = words(opened("neighbours", **pair(trained)))
    assert "History, newest first" in said
    assert "Nearest to it by text" in said
    assert "Most often chosen with it" in said or "nobody in the training part" in said
