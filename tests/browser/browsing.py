"""Driving the app: a server that can be restarted, and what a visitor's hand does on a page."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from llmesr.store import Store

REPOSITORY = Path(__file__).parents[2]


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


def chart_data(page, selector: str) -> list[dict]:
    """The traces of the chart inside ``selector``: name and number of points."""
    page.wait_for_selector(f"{selector} .js-plotly-plot .main-svg")
    return page.evaluate(
        "s => document.querySelector(s + ' .js-plotly-plot')._fullData"
        ".map(t => ({name: t.name, points: t.x ? t.x.length : 0}))",
        selector,
    )


def lasso(page, selector: str) -> None:
    """Draw a loop around most of the chart inside ``selector``."""
    plot = page.locator(f"{selector} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = plot.bounding_box()
    corners = [(0.15, 0.1), (0.85, 0.1), (0.85, 0.9), (0.15, 0.9), (0.15, 0.12)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
