"""A real server and a real browser. Skips, saying so, where there is no Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.browsing import Server, serving
from playwright.sync_api import Browser, Page, expect

from llmesr.store import Store

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 90_000
"""Milliseconds to wait for a page on a busy machine."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Iterator[Server]:
    with serving(store, tmp_path / "server.log") as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser per file: while playwright lives, no other test of the process can run an event loop."""
    if not CHROMIUM.exists():
        pytest.skip(f"browser tests need Chromium at {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Any]:
    """``visitors()`` is another visitor: a page in a browser context of its own."""
    contexts = []

    def arrive(**options: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        return context.new_page()

    yield arrive
    for context in contexts:
        context.close()


@pytest.fixture
def page(visitors: Callable[..., Page]) -> Any:
    """One visitor. Scripts that a page must never run would set ``window.pwned``."""
    return visitors()
