"""How long the app's pages take in a browser: opening cold and warm, moving a slider, selecting on linked maps.

    python benchmarks/pages.py                              # a shop it makes, and maps of 20,000 items
    python benchmarks/pages.py --items 20000 100000
    python benchmarks/pages.py --artifacts artifacts --items

Cold is the first visit to a server that has just started; a new tab opens the same address once more; warm is the
median of later visits from the app's own navigation. Each lasts until the page's script has finished. A slider's time
is the server's: from the message that tells of the change to the last message of the answer. A selection is timed from
letting go of the mouse until the other map has drawn it. Needs Chromium; without a GPU the browser draws the maps on
the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "browser")]

from browsing import Server, lasso, ready  # noqa: E402
from factories import make_embedding  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402
from serving import prepare  # type: ignore[attr-defined]  # noqa: E402  # the file beside this one

from llmesr.config import RunConfig  # noqa: E402
from llmesr.data import synthetic  # noqa: E402
from llmesr.store import Store  # noqa: E402
from llmesr.training.train import train  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
PAGES = ("", "story", "datasets", "training", "compare", "embeddings", "neighbours", "recommend", "findings")
SLIDERS = {
    "Compare, tail items": ("compare", ".st-key-tail_item"),
    "Recommend, content weight": ("recommend", ".st-key-rec-weight"),
}
WARM = 3
LINK = '[data-testid="stSidebarNavLink"]'
CHANGED = "before => { const h = document.querySelector('h1'); return h && h.innerText !== before; }"


def shop(store: Store) -> None:
    """2,000 users and 1,000 items with text vectors; a baseline, a blind model and llm-esr, trained for a moment."""
    dataset = synthetic.make(store, "shop", users=2000, items=1000)
    make_embedding(store, dataset, size=384)
    for method in ("popularity", "id", "llm-esr"):
        settings = {} if method == "popularity" else {"epochs": 1}
        train(dataset, RunConfig.read(None, method=method, **settings), store, device="cpu")


def opened(page: Page, url: str) -> float:
    """Seconds from navigation until the script has finished."""
    started = time.perf_counter()
    page.goto(url)
    ready(page)
    return time.perf_counter() - started


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server that has just started and is stopped whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Wire:
    """When messages went to the server and came back."""

    def __init__(self, page: Page) -> None:
        self.sent: list[float] = []
        self.received: list[float] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: Any) -> None:
        socket.on("framesent", lambda _: self.sent.append(time.perf_counter()))
        socket.on("framereceived", lambda _: self.received.append(time.perf_counter()))

    def answer(self, page: Page, act: Callable[[], None]) -> float:
        """Seconds of the server between the message that ``act`` sets off and the last one of its answer."""
        self.sent.clear()
        self.received.clear()
        act()
        while not self.sent or not self.received or time.perf_counter() - self.received[-1] < 1:
            page.wait_for_timeout(20)
        return self.received[-1] - self.sent[0]


def times_of_pages(browser: Any, server: Server) -> Iterator[tuple[str, float, float, float]]:
    """(page, cold, in a new tab, warm) seconds; the server is started anew for every page."""
    for name in PAGES:
        with running(server):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            cold = opened(context.new_page(), f"{server.url}/{name}")
            page = context.new_page()
            tab = opened(page, f"{server.url}/{name}")
            link, away = (page.locator(LINK).nth(PAGES.index(n)) for n in (name, "" if name else "training"))
            warm = []
            for _ in range(WARM):
                followed(page, away)
                warm.append(followed(page, link))
            context.close()
        yield name.capitalize() or "Overview", cold, tab, statistics.median(warm)


def followed(page: Page, link: Any) -> float:
    """Seconds from a click on the app's navigation until the other page's script has finished."""
    before, started = page.locator("h1").inner_text(), time.perf_counter()
    link.click()
    page.wait_for_function(CHANGED, arg=before)
    ready(page)
    took = time.perf_counter() - started
    page.wait_for_timeout(1500)  # the next click begins on a page at rest
    return took


def times_of_sliders(browser: Any, server: Server) -> Iterator[tuple[str, float]]:
    """(slider, seconds of the server), the median of five steps; the first is not counted."""
    with running(server):
        for name, (path, selector) in SLIDERS.items():
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            wire = Wire(page)
            opened(page, f"{server.url}/{path}")
            page.wait_for_timeout(1500)
            thumb = page.locator(f"{selector} input[type=range]").first
            thumb.focus()
            steps = [wire.answer(page, partial(thumb.press, "ArrowRight")) for _ in range(6)]
            page.close()
            yield name, statistics.median(steps[1:])


SELECTED = """
() => document.querySelector('.st-key-map-right .js-plotly-plot')._fullData.some(t => t.name === 'selected')
"""


def time_of_selection(browser: Any, items: int, folder: Path) -> tuple[float, float, float]:
    """Seconds until both maps of ``items`` items stand, of the server for a selection, and until it can be seen."""
    store = Store(folder / f"items-{items}")
    prepare(store, items, users=2000)
    with running(Server(store, folder / "server.log")) as server:
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        page.set_default_timeout(180_000)
        wire, started = Wire(page), time.perf_counter()
        opened(page, f"{server.url}/embeddings")
        page.wait_for_selector(".st-key-map-right .js-plotly-plot .main-svg")
        stands = time.perf_counter() - started
        page.wait_for_timeout(2000)

        moments: list[float] = []

        def select() -> None:
            lasso(page, ".st-key-map-left")
            moments.append(time.perf_counter())
            page.wait_for_function(SELECTED)
            moments.append(time.perf_counter())

        server_seconds = wire.answer(page, select)
        page.close()
    return stands, server_seconds, moments[1] - moments[0]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--artifacts", type=Path, help="an artifact root; default: a shop made for this")
    arguments.add_argument("--items", type=int, nargs="*", default=[20_000], help="sizes of the linked maps")
    arguments.add_argument("--skip-pages", action="store_true", help="only the linked maps")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as engine:
        folder = Path(scratch)
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if not given.skip_pages:
            store = Store(given.artifacts or folder / "shop")
            if given.artifacts is None:
                shop(store)
            server = Server(store, folder / "server.log")
            print("| page | cold, s | new tab, s | warm, s |\n|---|---:|---:|---:|")
            for name, *seconds in times_of_pages(browser, server):
                print(f"| {name} | " + " | ".join(f"{s:.2f}" for s in seconds) + " |", flush=True)
            print("\n| slider | server, ms |\n|---|---:|")
            for name, moved in times_of_sliders(browser, server):
                print(f"| {name} | {1000 * moved:.0f} |", flush=True)
        if given.items:
            print(
                "\n| linked maps | first drawn, s | selection: server, s | selection: seen, s |\n|---|---:|---:|---:|"
            )
        for items in given.items:
            stands, answered, seen = time_of_selection(browser, items, folder)
            print(f"| {items:,} items | {stands:.2f} | {answered:.2f} | {seen:.2f} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
