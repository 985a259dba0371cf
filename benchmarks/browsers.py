"""Visitors of the app in contexts of one real browser: they go from page to page, turn a knob on each, and all at once.

Not run by itself (see soak.py). An error is one that a page shows, that its scripts raise, or a trace in the server's
log. The first page of each visitor is loaded from its address; to the others a visitor goes by the link in the sidebar.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from browsing import ready, serving
from playwright.sync_api import Browser, Error, Page, sync_playwright
from visitors import traces

from llmesr.store import Store

PATIENCE = 600_000
"""Milliseconds: many browsers on few processors are slow, which is no error."""
CHROMIUM = "/usr/bin/chromium"
LINKS = '[data-testid="stSidebarNavLink"]'
KNOBS = (
    '[data-testid="stRadio"] label, [data-testid="stButtonGroup"] button, [data-testid="stCheckbox"] label, '
    '[data-testid="stTab"], [data-testid="stMain"] summary'
)
"""What a click changes on a page: choices, switches, tabs, what can be unfolded."""


@dataclass
class Felt:
    """What a visitor felt: seconds until pages and knobs had been answered, and what was wrong."""

    pages: list[float] = field(default_factory=list)
    knobs: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def browse(store: Store, visitors: int, minutes: float, folder: Path) -> dict[str, Any]:
    """So many visitors for so long, in rounds: all go to a page, then all turn a knob; times, memory and errors."""
    felt, rng, log = [Felt() for _ in range(visitors)], random.Random(0), folder / "browsers.log"
    with serving(store, log) as server, sync_playwright() as engine:
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        pages = [_visitor(browser, one) for one in felt]
        _together(pages, lambda page: page.goto(server.url, wait_until="commit"), felt, "pages")
        megabytes = [round(process.memory_info().rss / 1e6)]
        until, rounds = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < until:
            _together(pages, lambda page: _click(page, LINKS, rng), felt, "pages")
            _together(pages, lambda page: _click(page, KNOBS, rng), felt, "knobs")
            megabytes.append(round(process.memory_info().rss / 1e6))
            rounds += 1
        open_pages = len(browser.contexts)
        browser.close()
    return {
        "browsers": open_pages,
        "rounds": rounds,
        "each": [{"pages": len(f.pages), "knobs": len(f.knobs), "errors": len(f.errors)} for f in felt],
        "pages": sum(len(f.pages) for f in felt),
        "knobs": sum(len(f.knobs) for f in felt),
        "seconds until a page stands": _times([second for f in felt for second in f.pages]),
        "seconds until a knob is answered": _times([second for f in felt for second in f.knobs]),
        "server megabytes after each round": megabytes,
        "errors": [error for f in felt for error in f.errors],
        "traces in the log": traces(log),
    }


def _visitor(browser: Browser, felt: Felt) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: felt.errors.append(f"script: {error}"))
    return page


def _together(pages: list[Page], do: Any, felt: list[Felt], what: Literal["pages", "knobs"]) -> None:
    """All visitors do the same before any is waited for; how long each then waited."""
    begun = []
    for page in pages:
        begun.append(time.monotonic())
        do(page)
    for page, started, one in zip(pages, begun, felt, strict=True):
        page.wait_for_timeout(50)
        ready(page)
        getattr(one, what).append(time.monotonic() - started)
        one.errors += page.locator('[data-testid="stException"]').all_inner_texts()
        said = page.locator('[data-testid="stAlert"]').all_inner_texts()
        one.errors += [text for text in said if "server's log" in text]


def _click(page: Page, selector: str, rng: random.Random) -> None:
    """A random one of what can be clicked; nothing where there is nothing, or where it goes as it is clicked."""
    found = page.locator(selector)
    count = found.count()
    if count:
        try:
            found.nth(rng.randrange(count)).dispatch_event("click")
        except Error as error:
            if "Timeout" not in str(error):
                raise


def _times(seconds: list[float]) -> dict[str, float]:
    found = sorted(seconds) or [0.0]
    return {"median": round(found[len(found) // 2], 1), "most": round(found[-1], 1)}
