"""The datasets page: upload, columns, report, thresholds, deletion; and what hostile files meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from app_pages import healthy, metrics, pick, texts
from factories import corrupt, make_dataset, make_run, make_running_run, make_standard_runs
from streamlit.testing.v1 import AppTest

import llmesr
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.data.profile import gini
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store


@pytest.fixture
def shop(store: Store) -> Any:
    return make_dataset(store, users=150, items=80)


def test_profile_numbers_are_those_of_the_data(visit: Callable[..., AppTest], shop: Dataset) -> None:
    shown = metrics(healthy(visit("datasets", look="profile")))
    counts = shop.item_counts[1:]
    tail = shop.thresholds.tail_items(counts)
    assert shown["Items in the tail"] == f"{100 * tail.mean():.0f}%"
    assert shown["Interactions with tail items"] == f"{100 * counts[tail].sum() / counts.sum():.0f}%"


def test_moving_the_threshold_redraws_and_saving_keeps_it(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    make_standard_runs(store, shop)
    app = visit("datasets", look="profile")
    old = shop.thresholds
    pick(app, "tail_item").set_value(old.item + 3).run()
    moved = metrics(healthy(app))["Items in the tail"]
    assert moved == f"{100 * np.mean(shop.item_counts[1:] < old.item + 3):.0f}%"
    assert f"others still see {old.item} and {old.user}." in texts(app)
    assert load_dataset(store, shop.id).thresholds == old
    next(b for b in app.button if b.label == "Save with the dataset").click().run()
    assert load_dataset(store, shop.id).thresholds == Thresholds(item=old.item + 3, user=old.user)
    assert f"fewer than {old.item + 3} training interactions" in texts(healthy(visit("overview", dataset=shop.id)))
    app = visit("datasets", look="profile")
    next(b for b in app.button if b.label.startswith("80/20")).click().run()
    assert load_dataset(store, shop.id).thresholds == old


def test_a_bar_of_history_lengths_lists_its_users(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = healthy(visit("datasets"))
    lengths = shop.split.train_lengths
    most = int(lengths.max())
    app.session_state["lengths"] = {"selection": {"points": [{"customdata": [2, most - 1]}]}}
    app.run()
    (listed,) = (d.value for d in healthy(app).dataframe if list(d.value.columns) == ["user", "training interactions"])
    assert set(listed["user"]) == set(shop.user_ids[(lengths >= 2) & (lengths < most)])
    assert listed["training interactions"].is_monotonic_decreasing


def test_the_bar_of_a_link_lists_its_users(visit: Callable[..., AppTest], shop: Dataset) -> None:
    lengths = shop.split.train_lengths
    inside = int(((lengths >= 2) & (lengths <= 3)).sum())
    app = healthy(visit("datasets", dataset=shop.id, **{"mark.lengths": ["2", "3"]}))
    assert f"**With 2 to 3 training interactions** :gray[{inside} users]" in texts(app)
    nonsense = {"mark.lengths": ["none", "of that"], "mark.popularity": "-1"}
    assert "Click a bar" in texts(healthy(visit("datasets", dataset=shop.id, **nonsense)))


def test_gini_is_shown(visit: Callable[..., AppTest], shop: Dataset) -> None:
    assert f"Gini {gini(shop.item_counts[1:]):.2f}" in texts(visit("datasets", look="profile"))


def test_the_report_of_reading_is_shown_in_words(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    app = visit("datasets", look="profile", open="report")
    for finding in shop.manifest.info["report"]:
        assert finding["message"][:20].split(":")[0] in texts(app).replace("\\", "")


def test_deleting_asks_and_takes_what_was_made_from_it(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    make_run(store, shop)
    app = visit("datasets", look="profile")
    assert pick(app, f"delete.{shop.id}").disabled
    pick(app, f"sure.{shop.id}").set_value(True).run()
    assert "This also deletes what was made from it: 1 run." in texts(app)
    pick(app, f"delete.{shop.id}").click().run()
    healthy(app)
    assert store.list("datasets") == []
    assert store.list("runs") == []


def test_deleting_what_a_job_uses_is_refused_with_the_reason(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    run = make_running_run(store, shop)
    running_job("Train llm-esr/sasrec", parents=[f"datasets/{shop.id}"], run=run.id)
    app = visit("datasets", look="profile")
    pick(app, f"sure.{shop.id}").set_value(True).run()
    pick(app, f"delete.{shop.id}").click().run()
    assert "used by a job that has not ended" in app.error[0].value.replace("\\", "")
    assert store.exists("datasets", shop.id)
    assert store.exists("runs", run.id)


def test_a_damaged_dataset_is_named_and_the_other_shown(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    other = make_dataset(store, name="other", users=60, items=30, seed=4)
    corrupt(store, "datasets", other.id)
    app = healthy(visit("datasets", look="profile"))
    assert any("damaged" in e.label for e in app.expander)
    assert "Items in the tail" in metrics(app)


def test_a_dataset_whose_files_are_damaged_is_explained(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    corrupt(store, "datasets", shop.id, "interactions")
    app = visit("datasets", look="profile")
    assert not app.exception
    assert "damaged" in app.error[0].value


def test_a_running_pipeline_is_shown_with_the_dataset(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    running_job("Embed and train shop", parents=[f"datasets/{shop.id}"])
    app = healthy(visit("datasets", look="profile"))
    assert "Embed and train shop" in texts(app)
    assert "defaults" not in [b.key for b in app.button]
    assert len(Jobs(store).list()) == 1


def test_what_is_known_of_users_is_shown(visit: Callable[..., AppTest], store: Store) -> None:
    interactions, items = synthetic.frames(60, 40, seed=3)
    ids = interactions["user_id"].drop_duplicates()
    people = pd.DataFrame({"user_id": ids.iloc[:30], "age": range(30)})
    llmesr.ingest(interactions, items, users=people, name="shop", store=store, k_core=1)
    app = healthy(visit("datasets"))
    assert "What is known of the users" in [e.label for e in app.expander]


def test_boxes_are_in_the_address(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = healthy(visit("datasets", look="profile", open="numbers"))
    box = next(e for e in app.expander if e.label == "All numbers")
    assert box.proto.expanded
    other = healthy(visit("datasets", look="profile"))
    assert not next(e for e in other.expander if e.label == "All numbers").proto.expanded


def test_a_moved_threshold_is_in_the_address_and_holds_on_other_pages(
    visit: Callable[..., AppTest], shop: Dataset
) -> None:
    app = visit("datasets", look="profile")
    pick(app, "tail_item").set_value(shop.thresholds.item + 2).run()
    assert app.query_params["tail_item"] in (str(shop.thresholds.item + 2), [str(shop.thresholds.item + 2)])
    linked = healthy(visit("datasets", look="profile", tail_item=str(shop.thresholds.item + 2)))
    assert pick(linked, "tail_item").value == shop.thresholds.item + 2
