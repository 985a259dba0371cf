"""The Lab page: a product tried, a text edited, texts to repair; empty, no run that reads text, hostile titles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_pages import metrics, pick
from explorer import healthy, opened, tables, words
from factories import make_dataset, make_running_run
from lab_shop import made
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

from llmesr.config import LabConfig, RunConfig
from llmesr.lab.edit import edit
from llmesr.lab.flaws import FLAWS
from llmesr.lab.launch import launch
from llmesr.lab.past import past_launches
from llmesr.lab.repair import Gain, Repairs, repairs
from llmesr.runs.record import Run
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.train import train
from llmesr.views.cache.kept import clear
from llmesr.views.lab import new_product

pytest_plugins = ("explorer", "lab_shop")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the shop with real text vectors and a run of every kind."""
    root = tmp_path / "artifacts"
    shutil.copytree(made()[0], root)
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(root))
    clear()
    return Store(root)


def scored(store: Store, name: str) -> ScoredRun:
    return ScoredRun(store, Run(store, made()[1][name]))


def at(name: str, **query: str) -> AppTest:
    dataset = scored(Store(made()[0]), name).run.dataset_id
    app: AppTest = opened("lab", dataset=dataset, labrun=made()[1][name], **query)
    return app


def test_a_new_product_is_what_the_lab_says(shop: Store) -> None:
    app = at("text-ease", lab="new")
    assert healthy(app), words(app)
    assert "nothing is trained" in words(app)
    pick(app, "lab.new.title").set_value("Norodis gravel bike light")
    next(b for b in app.button if b.label == "Try it").click().run()
    assert healthy(app), words(app)
    [found] = launch(scored(shop, "text-ease"), [{"title": "Norodis gravel bike light"}], LabConfig())
    tiles = metrics(app)
    assert tiles["Users reached (first 10)"] == f"{found.reach:,} of 150"
    assert tiles["Median rank"] == f"{round(found.median_rank):,}"
    assert tiles["Hits per 1,000"] == "–"
    (users,) = tables(app, "User", "Why")
    assert users["User"].tolist() == found.users["user_id"].tolist()
    (near,) = tables(app, "Nearest by text")
    assert near["Nearest by text"].tolist() == found.nearest["title"].tolist()
    said = words(app).replace("\\", "")
    assert found.text
    assert made()[1]["text-ease"] in said
    assert "full ranking" in said
    assert "Leave-one-out" in said
    assert "cut it in time" in said
    anywhere = 150 * 10 / (scored(shop, "text-ease").dataset.n_items + 1)
    assert ("At a random place" in said) is (found.reach < anywhere)


def test_the_first_answer_leaves_out_who_has_the_item(shop: Store) -> None:
    app = at("text-ease", lab="new")
    example = new_product.example(scored(shop, "text-ease").dataset)
    app.button(key="lab.example").click().run()
    assert healthy(app), words(app)
    [found] = launch(scored(shop, "text-ease"), [example], LabConfig())
    assert found.owners > 0
    assert metrics(app)["Users reached (first 10)"] == f"{found.reach:,} of {150 - found.owners}"
    assert found.left_out in words(app)


def test_a_point_of_its_map_opens_the_map(shop: Store) -> None:
    for linked, shown in (({}, "Who would see it first"), ({"mark.lab.map": "5"}, "Beside what it stands")):
        app = at("text-ease", lab="new", **linked)
        pick(app, "lab.new.title").set_value("Norodis gravel bike light")
        next(b for b in app.button if b.label == "Try it").click().run()
        assert healthy(app), words(app)
        assert app.session_state["lab.tabs"] == shown


def test_pasted_rows_are_products_and_mistakes_are_sentences(shop: Store) -> None:
    app = at("semantic-knn", lab="new", products="rows")
    app.text_area(key="lab.rows").set_value("title,brand\nBike light,Norodis\nWool blanket,Kelp")
    next(b for b in app.button if b.label == "Try it").click().run()
    assert healthy(app), words(app)
    (listed,) = tables(app, "Product", "Users reached")
    assert listed["Product"].tolist() == ["Bike light", "Wool blanket"]
    app.text_area(key="lab.rows").set_value("title,colour\nBike light,red")
    next(b for b in app.button if b.label == "Try it").click().run()
    assert not app.exception
    assert "no attribute 'colour'" in words(app).replace("\\", "")


def test_past_launches_are_checked_by_method(shop: Store) -> None:
    app = at("later", lab="new")
    pick(app, "lab.past.every").click().run()
    assert healthy(app), words(app)
    (table,) = tables(app, "Method", "Launches")
    found = past_launches(scored(shop, "later"), LabConfig())
    assert table["Launches"].tolist() == [len(found.launches)]
    assert table["Hits"].tolist() == [found.launches["hits"].sum()]
    if found.lacking:
        assert found.lacking in words(app).replace("\\", "")


def test_an_edited_text_moves_what_the_lab_says(shop: Store) -> None:
    open_run = scored(shop, "adapter")
    item = str(open_run.dataset.catalogue["item_id"].iloc[8])
    app = at("adapter", lab="edit", item=item)
    assert healthy(app), words(app)
    pick(app, "lab.edit.9.title").set_value("A tent")
    next(b for b in app.button if b.label == "See what moves").click().run()
    assert healthy(app), words(app)
    found = edit(open_run, 9, {"title": "A tent"}, LabConfig())
    tiles = metrics(app)
    reach = f"{found.everyone.reach('before'):,} → {found.everyone.reach('after'):,}"
    assert tiles["Users reached (first 10)"] == reach
    assert tiles["Places gained and lost"] == f"+{found.everyone.gained.sum()} / −{found.everyone.lost.sum()}"
    (near,) = tables(app, "Nearest before", "Nearest after")
    assert near["Nearest after"].tolist() == found.nearest_after["title"].tolist()


def test_an_item_is_found_by_the_words_of_its_title(shop: Store) -> None:
    data = scored(shop, "adapter").dataset
    title = str(data.catalogue["title"].iloc[20])
    app = at("adapter", lab="edit")
    app.text_input(key="lab.find").set_value(title).run()
    assert healthy(app), words(app)
    assert app.selectbox(key="pick.item").value == data.catalogue["item_id"].iloc[20]
    app.text_input(key="lab.find").set_value("nothing reads like this").run()
    assert "No item has these words" in words(app)


def test_good_texts_need_no_repair(shop: Store) -> None:
    app = at("text-ease", lab="repair")
    assert healthy(app), words(app)
    assert any("No text of this dataset is missing" in s.value for s in app.success)


def test_flawed_texts_are_listed_and_lead_to_the_editor(trained: Store) -> None:
    """The hostile shop repeats a title's markup and has a very long one; none of it is run."""
    data = next(iter(trained.list("datasets")))
    run = train_knn(trained, data.id)
    app = opened("lab", lab="repair", labrun=run.id)
    assert healthy(app), words(app)
    found = repairs(ScoredRun(trained, run), LabConfig())
    tiles = metrics(app)
    for flaw in FLAWS:
        assert tiles.get(f"{flaw.capitalize()} texts", "0") == f"{(found.texts['flaw'] == flaw).sum():,}"
    assert "<script" not in words(app).replace("\\<script", "")


def test_a_gain_that_is_clicked_lists_its_texts(monkeypatch: pytest.MonkeyPatch, shop: Store) -> None:
    data = scored(shop, "text-ease").dataset
    some = data.catalogue.iloc[[3, 7, 9]]
    texts = pd.DataFrame({"item": [4, 8, 10], "item_id": some["item_id"], "title": some["title"]})
    texts = texts.assign(
        group=["Tail Item", "Tail Item", "Head Item"], flaw="short", words=2, same=0, users=5, misses=4
    )
    gains = tuple(Gain("short", group, 20, 40, 0.2, 0.1, 0.3) for group in ("Tail Item", "Head Item"))
    made_up = Repairs("text-ease", 10, texts.assign(gain=0.8, low=0.4, high=1.2), gains)
    monkeypatch.setattr("llmesr.views.lab.repair.repairs", lambda *_: made_up)
    app = at("text-ease", lab="repair")
    point = {"customdata": [40, 20, "short", "Tail Item"]}
    app.session_state["lab.repair.gains"] = AttributeDictionary({"selection": {"points": [point]}})
    app.run()
    assert healthy(app), words(app)
    (rows,) = tables(app, "item", "misses")
    assert rows["item"].tolist() == some["item_id"].tolist()[:2]


def train_knn(store: Store, dataset_id: str) -> Run:
    from llmesr.config import EmbedConfig
    from llmesr.data.dataset import load_dataset
    from llmesr.semantic.embed import embed

    data = load_dataset(store, dataset_id)
    texts = embed(data, EmbedConfig(), store)
    return train(data, RunConfig(method="semantic-knn"), store, embedding=texts, device="cpu")


def test_without_a_run_that_reads_text_it_says_what_to_train(store: Store) -> None:
    clear()
    assert "There is no dataset yet" in words(opened("lab"))
    data = make_dataset(store, users=40, items=25)
    make_running_run(store, data)
    assert "No run of this dataset has finished yet" in words(opened("lab"))
    train(data, RunConfig(method="ease"), store, device="cpu")
    app = opened("lab")
    assert not app.exception
    assert "No run of this dataset scores an item by its text" in words(app)


def test_a_long_list_reaches_more(shop: Store) -> None:
    found = launch(scored(shop, "text-ease"), [{"title": "Bike light"}], LabConfig(k=50))[0]
    short = launch(scored(shop, "text-ease"), [{"title": "Bike light"}], LabConfig(k=5))[0]
    assert np.array_equal(found.ranks, short.ranks)
    assert found.reach >= short.reach
