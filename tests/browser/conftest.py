"""A real server and a real browser. Skips, saying so, where there is no Chromium."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmesr.jobs.queue import Jobs
from llmesr.store import Store

CHROMIUM = Path("/usr/bin/chromium")
REPOSITORY = Path(__file__).parents[2]
PATIENCE = 90_000
"""Milliseconds to wait for a page on a busy machine."""


class Server:
    """`llmesr app` on a free port over one artifact root; it can be stopped and started again."""

    def __init__(self, store: Store, log: Path, base_path: str = "") -> None:
        self.store, self.log, self.base_path = store, log, base_path
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    def start(self) -> None:
        command = [sys.executable, "-m", "llmesr", "app", "--port", str(self.port)]
        command += ["--base-path", self.base_path] if self.base_path else []
        environment = {**os.environ, "LLMESR_ARTIFACTS": str(self.store.root), "OMP_NUM_THREADS": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=REPOSITORY)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None


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


def ready(page) -> None:
    """Wait until the page has been drawn and its script has run to the end."""
    page.wait_for_selector("h1")
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def visit(page, server: Server, path: str = "/") -> None:
    """Open a page and wait for it."""
    page.goto(server.url + path)
    ready(page)


def settled(page) -> None:
    """Wait for the rerun that a click has set off."""
    page.wait_for_timeout(400)
    ready(page)


def choose(page, label: str, option: str) -> None:
    """Pick an option of a select box by its label."""
    box = page.get_by_role("combobox", name=label, exact=False).first
    box.click()
    page.get_by_role("option", name=option, exact=True).first.click()
    settled(page)
