"""The Embeddings page: full, empty, damaged, while a job runs; and each control that matters."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from explorer import healthy, opened, tables, words
from factories import corrupt, make_dataset, make_embedding

from llmesr.data.dataset import load_dataset
from llmesr.jobs.queue import Jobs
from llmesr.maps.make import load_map
from llmesr.runs.record import list_runs
from llmesr.store import Store
from llmesr.views.cache.kept import clear
from llmesr.views.shared.tables import neutral

pytest_plugins = ("explorer",)


@pytest.fixture
def empty(store: Store) -> Store:
    clear()
    return store


def box(x0: float, x1: float, y0: float, y1: float) -> dict[str, Any]:
    return {"selection": {"points": [], "lasso": [], "box": [{"x": [x0, x1], "y": [y0, y1]}]}}


def test_a_trained_dataset_shows_two_maps_with_their_trustworthiness(trained: Store) -> None:
    app = opened("embeddings")
    assert healthy(app), words(app)
    made = load_map(trained, trained.list("maps")[0].id)
    text = words(app)
    assert f"trustworthiness {made.trustworthiness('semantic', 'pca'):.3f}" in text
    assert f"trustworthiness {made.trustworthiness('collaborative', 'pca'):.3f}" in text
    assert "Draw a lasso or a box" in text
    assert load_dataset(trained, "shop").thresholds.describe() in text
    assert "Compute UMAP" not in [b.label for b in app.button]  # the map is there


def test_a_box_in_one_map_lists_what_it_surrounds_and_clearing_forgets_it(trained: Store) -> None:
    app = opened("embeddings")
    made = load_map(trained, trained.list("maps")[0].id)
    xy = made.xy("semantic", "pca")
    inside = np.flatnonzero((xy[:, 0] >= 0) & (xy[:, 1] >= 0))
    app.session_state["map.left"] = box(0, 99, 0, 99)
    app.run()
    assert healthy(app), words(app)
    dataset = load_dataset(trained, "shop")
    listed = tables(app, "Training interactions", "Gap")[0]
    assert set(listed["Item"]) == set(dataset.catalogue["item_id"].to_numpy()[inside])
    assert listed["Training interactions"].tolist() == sorted(dataset.item_counts[1:][inside], reverse=True)
    assert f"**{len(inside)} items selected**" in words(app)
    app.button(key="map.clear").click().run()
    assert "items selected" not in words(app)


def test_a_lasso_in_the_right_map_uses_its_own_places(trained: Store) -> None:
    app = opened("embeddings")
    made = load_map(trained, trained.list("maps")[0].id)
    xy = made.xy("collaborative", "pca")
    app.session_state["map.right"] = {
        "selection": {"points": [], "box": [], "lasso": [{"x": [-9, 0, 0, -9], "y": [-9, -9, 9, 9]}]}
    }
    app.run()
    assert f"**{int((xy[:, 0] < 0).sum())} items selected**" in words(app)


def test_a_click_lists_the_nearest_in_both_spaces(trained: Store) -> None:
    app = opened("embeddings")
    made = load_map(trained, trained.list("maps")[0].id)
    app.session_state["map.left"] = {"selection": {"points": [{"customdata": 20}], "box": [], "lasso": []}}
    app.run()
    assert healthy(app), words(app)
    dataset = load_dataset(trained, "shop")
    nearest = tables(app, "Cosine", "In both")
    for listed, key in zip(nearest, ("semantic", "collaborative"), strict=True):
        expected = dataset.catalogue["title"].to_numpy()[made.neighbours[key][20]]
        assert listed["Title"].tolist() == [neutral(title) for title in expected]
        np.testing.assert_allclose(listed["Cosine"], made.similarity[key][20], atol=1e-6)
    both = set(made.neighbours["semantic"][20]) & set(made.neighbours["collaborative"][20])
    assert (nearest[0]["In both"] == "yes").sum() == len(both)
    ways = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    onward = [ways[label] for label in ways if label.startswith("Recommend after") or label == "Its text in the Lab"]
    assert len(onward) == 2
    assert all(str(dataset.catalogue["item_id"][20]) in query for query in onward)


def test_a_selected_user_leads_to_the_pages_about_that_user(trained: Store) -> None:
    app = opened("embeddings", of="users")
    app.session_state["map.left"] = {"selection": {"points": [{"customdata": 20}], "box": [], "lasso": []}}
    app.run()
    assert healthy(app), words(app)
    user = str(load_dataset(trained, "shop").user_ids[20])
    ways = [link.proto.label.replace("\\", "") for link in app.get("page_link")]
    assert {f"{user} on Neighbours", f"{user} on Recommend"} <= set(ways)


def test_search_and_the_widest_gaps_select(trained: Store) -> None:
    app = opened("embeddings")
    dataset = load_dataset(trained, "shop")
    app.text_input(key="map.find").set_value(str(dataset.catalogue["item_id"][7])).run()
    assert tables(app, "Training interactions", "Gap")[0]["Item"].tolist() == [dataset.catalogue["item_id"][7]]
    app.button(key="map.wide").click().run()
    made = load_map(trained, trained.list("maps")[0].id)
    gap = made.gap("semantic", "collaborative")
    assert gap is not None
    tail = np.flatnonzero(dataset.thresholds.tail_items(dataset.item_counts[1:]))
    listed = tables(app, "Training interactions", "Gap")[0]
    assert len(listed) == 25
    assert set(listed["Group"]) == {"Tail Item"}
    assert listed["Gap"].min() >= np.sort(gap[tail])[-25] - 1e-6


def test_a_selection_says_what_its_users_get(trained: Store) -> None:
    app = opened("embeddings", names="none")
    items = load_dataset(trained, "shop").n_items
    app.session_state["map.left"] = box(-99, 99, -99, 99)
    app.run()
    assert healthy(app), words(app)
    frames = {m: _test_ranks(trained, m) for m in ("popularity", "llm-esr")}
    found = {m: f"{100 * (f['rank'] <= 10).mean():.1f}%" for m, f in frames.items()}
    said = next(
        line for line in words(app).splitlines() if line.startswith(f"Of {len(frames['llm-esr'])} users whose held")
    )
    assert f"popularity finds **{found['popularity']}**" in said.replace("\\", "").replace("\u2060", "")
    assert f"llm-esr/sasrec finds **{found['llm-esr']}**" in said.replace("\\", "").replace("\u2060", "")
    assert f"**{items} items selected**" in words(app)


def _test_ranks(store: Store, method: str) -> pd.DataFrame:
    (run,) = [r for r in list_runs(store) if r.manifest.config["method"] == method]
    frame = run.per_user()
    return frame[frame["part"].eq("test") & frame["protocol"].eq("full")]


@pytest.mark.parametrize("colour", ["group", "count", "category", "gap", "outcome"])
def test_every_colour_is_drawn(trained: Store, colour: str) -> None:
    app = opened("embeddings", colour=colour)
    assert healthy(app), words(app)
    assert app.query_params["colour"] in (colour, [colour])


def test_users_and_other_spaces_are_drawn_at_once_by_pca(trained: Store) -> None:
    run = next(m.id for m in trained.list("runs") if m.config["method"] == "id")
    app = opened("embeddings", of="users", right=f"run:{run}:collaborative")
    assert healthy(app), words(app)
    assert "Compute UMAP" in [b.label for b in app.button]
    app.session_state["map.left"] = box(-99, 99, -99, 99)
    app.run()
    assert "**120 users selected**" in words(app)
    assert set(tables(app, "Training interactions", "Gap")[0]["Group"]) == {"Tail User", "Head User"}


def test_it_opens_on_what_behaviour_alone_made_for_items_and_for_users(trained: Store) -> None:
    run = next(m.id for m in trained.list("runs") if m.config["method"] == "id")
    for of in ("items", "users"):
        app = opened("embeddings", of=of)
        assert app.selectbox(key="pick.right").value == f"run:{run}:collaborative"
        assert "more than behaviour alone would" not in words(app)


def test_a_space_that_text_got_into_says_so(trained: Store) -> None:
    run = next(m.id for m in trained.list("runs") if m.config["method"] == "llm-esr")
    app = opened("embeddings", right=f"run:{run}:collaborative")
    assert healthy(app), words(app)
    assert (
        "llm-esr/sasrec · seed 42 begins from the text, so it agrees with it more than behaviour alone would."
        in words(app).replace("\\", "")
    )


def test_titles_stay_text(trained: Store) -> None:
    app = opened("embeddings")
    app.session_state["map.left"] = box(-99, 99, -99, 99)
    app.run()
    assert "<script" not in words(app).replace("\\<script", "")


def test_an_empty_root_says_where_to_begin(empty: Store) -> None:
    app = opened("embeddings")
    assert not app.exception
    assert "There is no dataset yet" in words(app)


def test_a_dataset_without_vectors_says_what_is_missing(empty: Store) -> None:
    make_dataset(empty, users=40, items=25)
    app = opened("embeddings")
    assert not app.exception
    assert "no text vectors and no trained run yet" in words(app)


def test_one_embedding_alone_can_be_drawn_against_itself(empty: Store) -> None:
    make_embedding(empty, make_dataset(empty, users=40, items=25))
    app = opened("embeddings")
    assert healthy(app), words(app)
    app.button(key="map.same").click().run()
    assert tables(app, "Training interactions", "Gap")[0]["Gap"].max() == pytest.approx(0, abs=1e-9)


def test_a_damaged_map_or_run_is_named_and_the_rest_still_drawn(trained: Store) -> None:
    made = trained.list("maps")[0]
    corrupt(trained, "maps", made.id, "points")
    app = opened("embeddings")
    assert not app.exception
    assert "is damaged" in words(app)
    corrupt(trained, "maps", made.id)  # now not even its manifest can be read: PCA on the spot
    app = opened("embeddings")
    assert healthy(app), words(app)
    assert "Compute UMAP" in [b.label for b in app.button]
    assert any("1 damaged map left out" in e.label for e in app.expander)


def test_the_button_submits_a_job_and_the_page_shows_it(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.delete("maps", trained.list("maps")[0].id)
    monkeypatch.setattr(Jobs, "dispatch", lambda self: None)  # it waits for ever
    app = opened("embeddings")
    app.button(key="map.make").click().run()
    assert healthy(app), words(app)
    job = Jobs(trained).list()[0]
    assert job.record.steps[0].command[0] == "map"
    assert f"datasets/{trained.list('datasets')[0].id}" in job.record.parents
    assert "Draw items of shop" in words(app)
    assert "Compute UMAP" not in [b.label for b in app.button]


def test_a_selection_is_in_the_link_and_the_link_makes_it(trained: Store) -> None:
    app = opened("embeddings")
    app.session_state["map.left"] = box(-99, 0, -99, 99)
    app.run()
    said = next(line for line in words(app).splitlines() if "items selected**" in line)
    area = app.query_params["area"]
    assert healthy(opened("embeddings", area=area)), words(app)
    assert said in words(opened("embeddings", area=area))
    app.button(key="map.clear").click().run()
    assert "area" not in app.query_params

    app.button(key="map.wide").click().run()
    ids = app.query_params["point"]
    assert len(ids) == 25
    linked = opened("embeddings", point=ids)
    (listed,) = tables(linked, "Training interactions", "Gap")
    assert set(listed["Item"]) == set(ids)


def test_an_area_that_is_none_selects_nothing(trained: Store) -> None:
    app = opened("embeddings", area="nonsense,1,2")
    assert healthy(app), words(app)
    assert "Draw a lasso or a box" in words(app)
