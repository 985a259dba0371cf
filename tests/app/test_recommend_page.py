"""The Recommend page: full, empty, damaged, while a run trains; every knob, and editing a history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from explorer import healthy, opened, tables, words
from factories import corrupt, make_dataset, make_running_run
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

from llmesr.data.dataset import load_dataset
from llmesr.runs.record import list_runs
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.rerankers import RerankConfig
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units
from llmesr.store import Store
from llmesr.views.cache.kept import clear
from llmesr.views.cache.protagonists import protagonists

pytest_plugins = ("explorer",)


def run_of(store: Store, method: str) -> Any:
    return next(r for r in list_runs(store) if r.config.method == method)


def shown(app: AppTest, method: str) -> Any:
    """The list of the run of a method, wherever it stands."""
    ids = app.multiselect(key="pick.recommenders").value
    return tables(app, "Rank", "Score")[next(i for i, id in enumerate(ids) if f"-{method}-" in id)]


def listed(app: AppTest, method: str) -> list[str]:
    items: list[str] = shown(app, method)["Item"].tolist()
    return items


def user_of(store: Store) -> tuple[int, str]:
    dataset = load_dataset(store, "shop")
    user = int(dataset.split.users("test")[11])
    return user, str(dataset.user_ids[user])


def test_it_opens_on_the_two_of_the_overview_and_the_next_best(trained: Store) -> None:
    pair = [c.ids[0] for c in protagonists(trained, load_dataset(trained, "shop").id) if c]
    shown_first = opened("recommend").multiselect(key="pick.recommenders").value
    assert shown_first[:2] == pair
    assert len(shown_first) == 3


def test_lists_of_several_runs_are_what_each_recommends(trained: Store) -> None:
    user, user_id = user_of(trained)
    app = opened("recommend", user=user_id)
    assert healthy(app), words(app)
    for method in ("id", "llm-esr", "popularity"):
        run = run_of(trained, method)
        expected = Recommender(ScoredRun(trained, run)).recommend(user)
        assert listed(app, run.config.method) == expected["item_id"].tolist()
    assert "of 10 in the tail" in words(app)
    assert "Scores as trained" in words(app)
    assert "Tail item: fewer than" in words(app)


def test_before_the_held_out_item_its_rank_is_that_of_the_evaluation(trained: Store) -> None:
    """It is marked in every list in which it stands, and its rank is said where it does not."""
    dataset = load_dataset(trained, "shop")
    seen = set()
    for user in dataset.split.users("test")[:12].tolist():
        app = opened("recommend", **{"user": str(dataset.user_ids[user]), "rec.judged": "true"})
        assert healthy(app), words(app)
        for method in ("id", "llm-esr", "popularity"):
            per_user = run_of(trained, method).per_user()
            asked = per_user[(per_user["part"] == "test") & (per_user["protocol"] == "full")]
            rank = int(asked.set_index("user").loc[user, "rank"])
            assert f"Held-out item: rank **{rank:,}**" in words(app)
            marked = shown(app, method).get("Held out", pd.Series(dtype=str)).tolist()
            assert [i + 1 for i, m in enumerate(marked) if m] == ([rank] if rank <= 10 else [])
            seen.add(rank <= 10)
        if len(seen) == 2:
            return
    raise AssertionError("no user with the item inside one list and outside another")


def test_the_parts_add_up_to_the_score(trained: Store) -> None:
    run = run_of(trained, "llm-esr")
    app = opened("recommend", user=user_of(trained)[1])
    app.slider(key="rec.weight").set_value(2.0).run()
    frame = shown(app, run.config.method)
    parts = frame["Collaborative"] + frame["Semantic"] + frame["Content"]
    assert parts.tolist() == pytest.approx(frame["Score"].tolist(), abs=1e-4)
    assert (frame["Content"] != 0).any()


def test_a_knob_re_ranks_and_shows_what_moved(trained: Store) -> None:
    run = run_of(trained, "id")
    app = opened("recommend", user=user_of(trained)[1])
    before = listed(app, run.config.method)
    app.slider(key="rec.weight").set_value(8.0).run()
    assert healthy(app), words(app)
    after = listed(app, run.config.method)
    assert after != before
    frame = shown(app, run.config.method)
    for item, move in zip(frame["Item"], frame["Moved"], strict=True):
        if item not in before:
            assert move == "new"
        else:
            step = before.index(item) - after.index(item)
            assert move == ("=" if step == 0 else f"▲{step}" if step > 0 else f"▼{-step}")
    assert "content weight" in words(app).lower()
    app.button(key="rec.reset").click().run()
    assert listed(app, run.config.method) == before


def test_the_popularity_weight_moves_the_list_to_the_head_or_to_the_tail(trained: Store) -> None:
    run = run_of(trained, "llm-esr")
    app = opened("recommend", user=user_of(trained)[1])
    dataset = load_dataset(trained, "shop")
    means = []
    for weight in (-0.5, 0.0, 0.5):
        app.slider(key="rec.popularity").set_value(weight).run()
        assert healthy(app), words(app)
        frame = shown(app, run.config.method)
        means.append(np.mean([dataset.item_counts[dataset.item(i)] for i in frame["Item"]]))
        parts = frame["Collaborative"] + frame["Semantic"] + frame["Content"]
        assert parts.tolist() == pytest.approx(frame["Score"].tolist(), abs=1e-4)
    assert means[0] < means[1] < means[2]
    assert "popularity weight +0.5 (in scores" in words(app).lower()


def test_the_linear_weight_brings_what_was_chosen_together(trained: Store) -> None:
    run = run_of(trained, "id")
    user, user_id = user_of(trained)
    app = opened("recommend", user=user_id)
    app.slider(key="rec.linear").set_value(4.0).run()
    assert healthy(app), words(app)
    recommender = Recommender(ScoredRun(trained, run))
    weight = float(f"{4 * Units(recommender.scored).of('linear'):.3g}")
    expected = recommender.recommend(user, policy=ScoringPolicy(linear=weight))
    assert listed(app, run.config.method) == expected["item_id"].tolist()
    assert expected["item_id"].tolist() != recommender.recommend(user)["item_id"].tolist()
    assert f"linear weight 4 (in scores {weight:g})" in words(app).lower()


def test_routing_sends_rare_items_to_text(trained: Store) -> None:
    run = run_of(trained, "llm-esr")
    app = opened("recommend", user=user_of(trained)[1])
    app.slider(key="rec.threshold").set_value(8).run()
    assert healthy(app), words(app)
    assert "Collaborative part ×0 below 8 interactions" in words(app)
    frame = shown(app, run.config.method)
    dataset = load_dataset(trained, "shop")
    rare = [dataset.item_counts[dataset.item(i)] < 8 for i in frame["Item"]]
    assert (frame["Collaborative"][rare] == 0).all()


@pytest.mark.parametrize("name", ["mmr", "dpp", "calibrated", "epsilon", "ucb"])
def test_every_re_ranker_is_the_serving_one(trained: Store, name: str) -> None:
    user, user_id = user_of(trained)
    run = run_of(trained, "id")
    app = opened("recommend", user=user_id)
    app.selectbox(key="rec.reranker").set_value(name).run()
    app.slider(key="rec.strength").set_value(0.8).run()
    assert healthy(app), words(app)
    expected = Recommender(ScoredRun(trained, run)).recommend(user, reranker=RerankConfig(name=name, strength=0.8))
    assert listed(app, run.config.method) == expected["item_id"].tolist()


def test_a_history_is_built_by_searching_and_edited(trained: Store) -> None:
    dataset = load_dataset(trained, "shop")
    ids = dataset.catalogue["item_id"].tolist()
    run = run_of(trained, "id")
    app = opened("recommend", source="build", history=f"{ids[20]},{ids[30]},unknown")
    assert healthy(app), words(app)
    recommender = Recommender(ScoredRun(trained, run))
    assert listed(app, run.config.method) == recommender.recommend([21, 31])["item_id"].tolist()
    app.text_input(key="rec.find").set_value(ids[40]).run()
    app.button(key="rec.add.40").click().run()
    assert listed(app, run.config.method) == recommender.recommend([21, 31, 41])["item_id"].tolist()
    assert f"{ids[20]},{ids[30]},{ids[40]}" in app.query_params["history"]
    app.button(key="rec.clear").click().run()
    assert "Search for an item and add it" in words(app)


def test_a_users_history_can_be_taken_over_and_edited(trained: Store) -> None:
    user, user_id = user_of(trained)
    app = opened("recommend", user=user_id)
    app.button(key="rec.edit").click().run()
    assert healthy(app), words(app)
    history = load_dataset(trained, "shop").history(user).tolist()
    assert app.session_state["rec.history"] == history
    assert "Edit this history" not in [b.label for b in app.button]


def test_an_unknown_user_is_said_and_a_random_one_drawn(trained: Store) -> None:
    app = opened("recommend", user="nobody")
    assert "'nobody' is not in dataset" in words(app).replace("\\", "")
    app.button(key="rec.draw").click().run()
    assert healthy(app), words(app)


def test_titles_stay_text(trained: Store) -> None:
    app = opened("recommend", user=user_of(trained)[1])
    assert "<script" not in words(app).replace("\\<script", "")


def test_empty_and_unfinished_roots_say_what_to_do(store: Store) -> None:
    clear()
    assert "There is no dataset yet" in words(opened("recommend"))
    make_running_run(store, make_dataset(store, users=40, items=25))
    app = opened("recommend")
    assert not app.exception
    assert "No run of this dataset has finished yet" in words(app)


def test_a_run_without_its_model_says_so_and_the_others_go_on(trained: Store) -> None:
    run = run_of(trained, "id")
    (run.folder / "model.safetensors").unlink()
    app = opened("recommend", user=user_of(trained)[1])
    assert not app.exception
    assert "has no trained model" in words(app)
    assert len(tables(app, "Rank", "Score")) == 2
    corrupt(trained, "runs", run_of(trained, "popularity").id)
    app = opened("recommend", user=user_of(trained)[1])
    assert any("damaged run" in e.label for e in app.expander)


def test_a_link_holds_the_knobs_and_reset_clears_them(trained: Store) -> None:
    run = run_of(trained, "id")
    user = user_of(trained)[1]
    app = opened("recommend", user=user)
    plain = listed(app, run.config.method)
    app.slider(key="rec.weight").set_value(8.0).run()
    turned = listed(app, run.config.method)
    linked = opened("recommend", user=user, **{"rec.weight": "8.0"})
    assert healthy(linked), words(linked)
    assert linked.slider(key="rec.weight").value == 8.0
    assert listed(linked, run.config.method) == turned != plain
    linked.button(key="rec.reset").click().run()
    assert listed(linked, run.config.method) == plain


def test_a_link_to_a_run_that_is_gone_says_so(trained: Store) -> None:
    kept = run_of(trained, "id")
    app = opened("recommend", user=user_of(trained)[1], recommenders="no-such-run")
    assert "The link names no\\-such\\-run, which is not here" in words(app)
    app.multiselect(key="pick.recommenders").set_value([kept.id]).run()
    assert healthy(app)
    assert "The link names" not in words(app)


def test_a_bar_that_is_clicked_leads_to_its_item_and_a_link_to_another_history(trained: Store) -> None:
    run, (_, user_id) = run_of(trained, "id"), user_of(trained)
    app = opened("recommend", user=user_id, recommenders=run.id)
    first = listed(app, "id")[0]
    point = {"customdata": [first]}
    app.session_state[f"rec.list.{run.id}"] = AttributeDictionary({"selection": {"points": [point]}})
    app.run()
    assert healthy(app), words(app)
    ways = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    follow = next(query for label, query in ways.items() if label.startswith("Recommend after"))
    assert "source=build" in follow
    assert f"item={first}" in ways["Its text in the Lab"]
    data = load_dataset(trained, "shop")
    for item in (1, 2):  # one link after the other in the same visit
        app.query_params.update({"source": "build", "history": str(data.catalogue["item_id"].iloc[item - 1])})
        app.run()
        assert healthy(app), words(app)
        assert app.session_state["rec.history"] == [item]


def test_who_comes_back_finds_the_user_who_was_asked_for(trained: Store) -> None:
    app = opened("recommend")
    ids = load_dataset(trained, trained.list("datasets")[0].id).user_ids
    other = next(str(id) for id in ids if str(id) != app.text_input(key="rec.id").value)
    app.text_input(key="rec.id").set_value(other).run()
    for page in ("neighbours", "recommend"):
        app.query_params.clear()
        app.switch_page(f"pages/{page}.py").run()
    assert app.text_input(key="rec.id").value == other
