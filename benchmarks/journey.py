"""From a messy CSV to a defended statement in the app: how many clicks, and how many minutes of them are waiting.

    python benchmarks/journey.py                     # 400 users, 120 items, made for this
    python benchmarks/journey.py --users 1500 --items 400 --shots /tmp/shots

A headless browser does what a person does, and every click, choice and file that is handed over counts one. The orders
are as an export gives them: foreign headings, semicolons, a byte-order mark, rows twice, rows without a customer,
amounts with a sign of currency, dates written day first. The bar to reach is 8 clicks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "browser")]

from browsing import serving, settled, visit, wait_for  # noqa: E402
from playwright.sync_api import Locator, Page, sync_playwright  # noqa: E402

from llmesr.data import synthetic  # noqa: E402
from llmesr.jobs.queue import Jobs  # noqa: E402
from llmesr.store import Store  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
AIM = 8
FIELDS = {"user_id": "Kundennr", "item_id": "Artikel", "timestamp": "gekauft am"}
LONGEST = 3 * 3600
"""Seconds a job may take."""


@dataclass
class Hand:
    """Clicks, as they are made."""

    page: Page
    shots: Path | None = None
    clicks: list[str] = field(default_factory=list)
    waited: float = 0.0

    def click(self, what: Locator, name: str) -> None:
        what.click()
        self.did(name)

    def did(self, name: str) -> None:
        self.clicks.append(name)
        settled(self.page)
        if self.shots is not None:
            self.page.screenshot(path=self.shots / f"{len(self.clicks):02d}.png")

    def wait(self, store: Store) -> None:
        """Until no job is left; on the clock, but nobody has to sit there."""
        started = time.monotonic()
        wait_for(lambda: all(not job.active for job in Jobs(store).list()), LONGEST)
        self.waited += time.monotonic() - started
        for job in Jobs(store).list():
            if job.state != "SUCCEEDED":
                raise SystemExit(f"{job.label}: {job.state}\n{job.log()[-2000:]}")


def messy(folder: Path, users: int, items: int) -> list[Path]:
    """Orders and assortment of a shop as an export gives them."""
    rng = np.random.default_rng(5)
    orders, assortment = synthetic.frames(users, items, seed=5)
    orders["timestamp"] = pd.to_datetime(orders["timestamp"], unit="s").dt.strftime("%d.%m.%Y %H:%M:%S")
    orders = pd.concat([orders, orders.head(20), orders.head(9).assign(user_id=None)])
    orders = orders.sample(frac=1, random_state=0).rename(columns={v: k for k, v in _named().items()})
    assortment["Preis"] = [f"€ {p:.2f}" for p in rng.uniform(3, 90, len(assortment))]
    assortment.loc[::17, "description"] = ""
    assortment = assortment.rename(columns={"item_id": "Artikel", "title": "Bezeichnung"})
    paths = [folder / "export_bestellungen.csv", folder / "export_artikel.csv"]
    orders.to_csv(paths[0], index=False, sep=";", encoding="utf-8-sig")
    assortment.to_csv(paths[1], index=False, sep=";", encoding="utf-8-sig")
    return paths


def _named() -> dict[str, str]:
    return {column: field for field, column in FIELDS.items()}


def columns(hand: Hand, file: str) -> None:
    """Set right what was guessed wrong."""
    for name, column in FIELDS.items():
        box = hand.page.locator(f".st-key-column-{name}-{file}").get_by_role("combobox")
        if box.input_value() != column:
            hand.click(box, f"open {name}")
            hand.click(hand.page.get_by_role("option", name=column, exact=True).first, f"{name} is {column}")


def journey(hand: Hand, store: Store, files: list[Path]) -> str:
    """The way; what the statement's first line says at its end."""
    page = hand.page
    page.set_input_files("input[type=file]", [str(f) for f in files])
    page.get_by_text("Columns of the interactions").wait_for()
    hand.did("hand over the files")
    columns(hand, files[0].name.replace(".", "-"))
    hand.click(page.get_by_role("button", name="Import"), "Import")
    hand.wait(store)
    page.get_by_text("Where does the tail end?").wait_for()
    settled(page)
    hand.click(page.get_by_role("link", name="Compare", exact=True).first, "Compare")
    page.get_by_role("heading", name="Compare", level=1).wait_for()
    settled(page)
    hand.click(page.get_by_role("button", name="Defend this claim"), "Defend this claim")
    page.get_by_role("button", name="Download the statement (HTML)").wait_for()
    settled(page)
    if page.get_by_text("It lacks").count():
        hand.click(page.get_by_role("button", name="Defend this claim").last, "Train what it lacks")
        hand.wait(store)
        page.get_by_text("Nothing is missing").or_(page.get_by_text("It lacks")).first.wait_for()
        settled(page)
    with page.expect_download() as waiting:
        hand.click(page.get_by_role("button", name="Download the statement (HTML)"), "Download the statement")
    waiting.value.path()
    return str(page.locator('[data-testid="stAlert"]').last.inner_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--shots", type=Path, help="a folder for a picture after every click")
    given = parser.parse_args()
    if given.shots is not None:
        given.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as engine:
        folder = Path(scratch)
        store = Store(folder / "artifacts")
        files = messy(folder, given.users, given.items)
        with serving(store, folder / "server.log") as server:
            browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(180_000)
            hand = Hand(page, given.shots)
            visit(page, server, "/datasets")
            started = time.monotonic()
            said = journey(hand, store, files)
            took = time.monotonic() - started
            browser.close()
    for number, name in enumerate(hand.clicks, start=1):
        print(f"{number}. {name}")
    print(f"{len(hand.clicks)} clicks (aim: {AIM})")
    print(f"{took / 60:.1f} minutes, of them {hand.waited / 60:.1f} waiting for jobs")
    print(said)


if __name__ == "__main__":
    main()
