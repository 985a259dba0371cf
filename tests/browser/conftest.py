"""A real server and a real browser. Skips, saying so, where there is no Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Server

from llmesr.jobs.queue import Jobs
from llmesr.store import Store

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 90_000
"""Milliseconds to wait for a page on a busy machine."""


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Iterator[Server]:
    made = Server(store, tmp_path / "server.log")
    made.start()
    yield made
    made.stop()
    jobs = Jobs(store)
    for job in jobs.list():
        jobs.engine.kill(job.status)


@pytest.fixture(scope="session")
def chromium():
    if not CHROMIUM.exists():
        pytest.skip(f"browser tests need Chromium at {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A visitor: a browser context of its own. Scripts that a page must never run would set ``window.pwned``."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
