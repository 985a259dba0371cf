"""From a CSV with odd column names to a comparison of trained models, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser.browsing import Server, ended, settled, visit, wait_for
from playwright.sync_api import Locator, Page, expect

from llmesr.data import synthetic
from llmesr.jobs.queue import Jobs

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

NAMES = {"user_id": "Kundennr", "item_id": "Artikel", "timestamp": "gekauft"}
TWICE, NAMELESS = 7, 5


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Orders and assortment of a shop, as a German export names them, with some rows twice and some without a user."""
    interactions, items = synthetic.frames(150, 60, seed=3)
    nameless = interactions.head(NAMELESS).assign(user_id=None)
    interactions = pd.concat([interactions, interactions.head(TWICE), nameless])
    orders, assortment = tmp_path / "bestellungen.csv", tmp_path / "sortiment.csv"
    interactions.rename(columns=NAMES).to_csv(orders, index=False, sep=";")
    items.rename(columns={"item_id": "Artikel", "title": "Bezeichnung"}).to_csv(assortment, index=False)
    return [orders, assortment]


def upload(page: Page, server: Server, files: list[Path]) -> None:
    visit(page, server, "/datasets")
    page.set_input_files("input[type=file]", [str(f) for f in files])
    page.get_by_text("Columns of the interactions").wait_for()
    settled(page)


def column_of(page: Page, field: str) -> Locator:
    return page.locator(f".st-key-column-{field}-bestellungen-csv").get_by_role("combobox")


def map_columns(page: Page) -> None:
    for field, column in NAMES.items():
        box = column_of(page, field)
        if box.input_value() != column:
            box.click()
            page.get_by_role("option", name=column, exact=True).first.click()
            settled(page)
        expect(box).to_have_value(column)


def main(page: Page) -> str:
    return page.locator('[data-testid="stMain"]').inner_text()


def test_from_a_file_to_a_comparison(page: Page, server: Server, files: Any) -> None:
    upload(page, server, files)
    map_columns(page)
    page.get_by_label("Name of the dataset").fill("Laden")
    page.keyboard.press("Enter")
    settled(page)
    page.reload()  # the upload is in the URL: nothing is sent again
    page.get_by_text("Columns of the interactions").wait_for()
    settled(page)
    for field, column in NAMES.items():  # and what was chosen is in it, too
        expect(column_of(page, field)).to_have_value(column)
    page.get_by_role("button", name="Import").click()

    page.get_by_text("Where does the tail end?").wait_for()
    settled(page)
    (dataset,) = server.store.list("datasets")
    said = main(page)
    assert f"{TWICE} interactions repeat the user, item and time of another and are dropped" in said
    assert f"{NAMELESS} " in said, "rows without a user are counted, not lost"
    assert "'Kundennr'" in said
    assert "'Artikel'" in said

    (job,) = Jobs(server.store).list()
    run = next(r for r in job.runs if "-id-" in r)
    visit(page, server, f"/training?dataset={dataset.id}&part=watch&run={run}")
    page.get_by_text(f"of {len(job.record.steps)}:").first.wait_for()  # progress: step so and so of all
    page.locator(".js-plotly-plot").first.wait_for(timeout=300_000)  # curves of a run, after the steps before it
    assert ended(server.store, job.id).state == "SUCCEEDED", job.log()

    visit(page, server, f"/compare?dataset={dataset.id}")
    for label in ("popularity", "id/sasrec", "llm-init/sasrec", "llm-esr/sasrec"):
        page.get_by_text(label).first.wait_for(state="attached")
    visit(page, server, f"/?dataset={dataset.id}")
    headline = wait_for(lambda: page.locator(".st-key-headline-words").inner_text(), 20)
    assert "With item text (" in headline
    assert headline.count("%") >= 4
    assert "How sure?" in headline
