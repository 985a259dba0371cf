"""Pinning on any page, and the page Findings: order, words, presenting, and what has changed since."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from app_pages import Visit, healthy, pick, texts
from factories import HOSTILE, corrupt, make_dataset, make_embedding, make_run, make_standard_runs
from streamlit.testing.v1 import AppTest

from llmesr import findings
from llmesr.data.dataset import Dataset
from llmesr.store import Store


@pytest.fixture
def shop(store: Store) -> Dataset:
    dataset = make_dataset(store)
    make_embedding(store, dataset)
    make_standard_runs(store, dataset)
    return dataset


def keep(app: AppTest, key: str, title: str | None = None, note: str = "") -> AppTest:
    """Pin what has this key, through the dialog."""
    pick(app, f"pin.{key}").click().run()
    if title is not None:
        pick(app, f"pin.title.{key}").set_value(title)
    app.text_area(key=f"pin.note.{key}").set_value(note)
    pick(app, f"pin.keep.{key}").click().run()
    made: AppTest = healthy(app)
    return made


def pins(app: AppTest) -> set[str]:
    return {b.key for b in app.button if b.key and b.key.startswith("pin.")}


def test_a_chart_of_compare_is_kept_with_all_that_it_is_of(visit: Visit, store: Store, shop: Dataset) -> None:
    app = visit("compare", dataset=shop.id, tail_item="7", metric="NDCG")
    keep(app, "differences", "Text helps", "Take it to the board.")
    (made,) = findings.every(store)
    of = made.subject
    assert (made.title, made.note, made.page) == ("Text helps", "Take it to the board.", "compare")
    assert (of.dataset, of.metric, of.protocol, of.tail_item) == (shop.id, "NDCG@10", "full", 7)
    assert len(of.runs) == 5
    assert "fewer than 7 training interactions" in of.definition
    assert any(severity == "serious" for severity, _ in of.doubts)
    assert made.query["tail_item"] == ["7"]
    assert len(made.query["compare"]) == 5
    figure = made.figure()
    assert figure is not None
    assert len(figure["data"]) >= 5
    assert made.table() is not None


@pytest.mark.parametrize(
    ("page", "query", "some"),
    [
        ("overview", {}, {"pin.headline"}),
        ("story", {"step": "4"}, {"pin.story.4"}),
        ("compare", {"view": "slices", "open": "verdict"}, {"pin.slices", "pin.verdicts"}),
        ("compare", {"view": "lists"}, {"pin.beyond"}),
        ("neighbours", {}, {"pin.near.ranks"}),
        ("datasets", {}, {"pin.popularity", "pin.lorenz", "pin.lengths"}),
        ("training", {"part": "queue"}, set()),
    ],
)
def test_where_there_is_a_pin(page: str, query: dict[str, str], some: set[str], visit: Visit, shop: Dataset) -> None:
    found = pins(visit(page, dataset=shop.id, **query))
    assert some <= found
    assert bool(some) == bool(found)


def test_views_that_state_themselves_what_they_are_keep_no_other_definition(
    visit: Visit, store: Store, shop: Dataset
) -> None:
    keep(visit("compare", dataset=shop.id, view="popularity"), "popularity")
    (made,) = findings.every(store)
    assert (made.subject.definition, made.subject.protocol) == ("", "")
    assert made.title.startswith("How much of HR@10 popularity explains")


def test_the_page_without_findings_says_where_they_come_from(visit: Visit, shop: Dataset) -> None:
    assert "Nothing is pinned yet" in texts(healthy(visit("findings")))


def pinned(store: Store, *names: str) -> list[findings.Pinned]:
    return [findings.pin(n, table=pd.DataFrame({"a": [1]}), note=f"note of {n}", store=store) for n in names]


def order(app: AppTest) -> list[str]:
    return [s.value for s in app.subheader]


def test_order_words_and_deletion(visit: Visit, store: Store) -> None:
    one, two, three = pinned(store, "one", "two", "three")
    app = healthy(visit("findings"))
    assert order(app) == ["one", "two", "three"]
    pick(app, f"up.{three.id}").click().run()
    assert order(app) == ["one", "three", "two"]
    pick(app, f"down.{one.id}").click().run()
    assert order(app) == ["three", "one", "two"]
    pick(app, f"edit.title.{two.id}").set_value("2")
    app.text_area(key=f"edit.note.{two.id}").set_value("another")
    pick(app, f"edit.save.{two.id}").click().run()
    assert order(app) == ["three", "one", "2"]
    assert "another" in texts(app)
    pick(app, f"delete.it.{one.id}").click().run()
    assert order(healthy(app)) == ["three", "2"]
    assert [f.title for f in findings.every(store)] == ["three", "2"]


def test_what_another_visitor_deleted_meanwhile_is_a_sentence(visit: Visit, store: Store) -> None:
    one, two, three = pinned(store, "one", "two", "three")
    app = healthy(visit("findings"))
    store.delete("findings", one.id)
    pick(app, f"delete.it.{one.id}").click().run()
    assert not app.exception
    assert "There is no finding" in app.toast[0].value
    assert order(app) == ["two", "three"]
    store.delete("findings", three.id)
    pick(app, f"up.{three.id}").click().run()
    assert not app.exception
    assert order(app) == ["two"]
    assert two.id in store.ids("findings")


def test_presenting_shows_the_chosen_one_by_one(visit: Visit, store: Store) -> None:
    one, _, three = pinned(store, "one", "two", "three")
    app = visit("findings")
    pick(app, "pick.findings").set_value([one.id, three.id]).run()
    pick(app, "findings.present").click().run()
    assert healthy(app).title[0].value == "one"
    assert "note of one" in texts(app)
    pick(app, "next").click().run()
    assert app.title[0].value == "three"
    assert pick(app, "next").disabled
    pick(app, "present").click().run()
    assert order(app) == ["one", "two", "three"]


def test_a_run_that_is_gone_is_said(visit: Visit, store: Store) -> None:
    run = make_run(store, make_dataset(store), "id")
    findings.pin("one", table=pd.DataFrame({"a": [1]}), runs=[run])
    store.delete("runs", run.id)
    assert f"{run.id} is gone" in texts(healthy(visit("findings"))).replace("\\", "")


def test_a_damaged_one_leaves_the_others(visit: Visit, store: Store) -> None:
    first, second, _ = pinned(store, "one", "two", "three")
    corrupt(store, "findings", first.id, "table")
    corrupt(store, "findings", second.id)
    app = visit("findings")
    assert not app.exception
    assert order(app) == ["one", "three"]
    assert [e.value for e in app.error if "is damaged" in e.value]


def test_hostile_words_are_text(visit: Visit, store: Store) -> None:
    for title in HOSTILE[:5]:
        findings.pin(title, table=pd.DataFrame({title: [title]}), note=title, store=store)
    for app in (visit("findings"), visit("findings", present="1")):
        assert not app.exception
        said = [str(m.value) for m in (*app.title, *app.subheader, *app.markdown)]
        assert not [text for text in said if re.search(r"(?<!\\)<", text)]
