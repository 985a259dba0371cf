"""From a CSV with odd column names to trained models, in a browser, through a restart of the server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browsing import choose, settled, visit

from llmesr.data import synthetic

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Orders and assortment of a shop, as a German export names them."""
    interactions, items = synthetic.frames(300, 120, seed=3)
    orders, assortment = tmp_path / "bestellungen.csv", tmp_path / "sortiment.csv"
    interactions.rename(columns={"user_id": "Kundennr", "item_id": "Artikel", "timestamp": "gekauft"}).to_csv(
        orders, index=False, sep=";"
    )
    items.rename(columns={"item_id": "Artikel", "title": "Bezeichnung"}).to_csv(assortment, index=False)
    return [orders, assortment]


def wait_for(what, seconds: float = 240):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.5)
    raise AssertionError("waited in vain")


def upload(page, server, files) -> None:
    visit(page, server, "/datasets")
    page.set_input_files("input[type=file]", [str(f) for f in files])
    page.get_by_text("Columns of who chose what").wait_for()
    settled(page)


def map_columns(page) -> None:
    choose(page, "User", "Kundennr")
    page.locator(".st-key-column\\.item_id\\.bestellungen\\.csv").wait_for()
    for field, column in (("item_id", "Artikel"), ("timestamp", "gekauft")):
        box = page.locator(f".st-key-column\\.{field}\\.bestellungen\\.csv").get_by_role("combobox")
        box.click()
        page.get_by_role("option", name=column, exact=True).first.click()
        settled(page)
