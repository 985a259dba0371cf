"""Driving the app: a server that can be restarted, and what a visitor's hand does on a page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from a_server import free_port
from playwright.sync_api import Locator, Page, expect

from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store

REPOSITORY = Path(__file__).parents[2]
T = TypeVar("T")


class Server:
    """`llmesr app` on a free port over one artifact root; it can be stopped and started again."""

    def __init__(self, store: Store, log: Path, base_path: str = "") -> None:
        self.store, self.log, self.base_path = store, log, base_path
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    def start(self) -> None:
        command = [sys.executable, "-m", "llmesr", "app", "--port", str(self.port)]
        command += ["--base-path", self.base_path] if self.base_path else []
        environment = {**os.environ, "LLMESR_ARTIFACTS": str(self.store.root)}
        environment |= {"OMP_NUM_THREADS": "1", "LLMESR_SLOTS": "cpu"}  # one job at a time, on any machine
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


@contextmanager
def serving(store: Store, log: Path) -> Iterator[Server]:
    """A server; with it end the jobs that a visitor began."""
    server = Server(store, log)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        jobs = Jobs(store)
        for job in jobs.list():
            if job.active:
                jobs.engine.kill(job.status)


def wait_for(what: Callable[[], T], seconds: float = 240) -> T:
    """The first true answer of ``what``, asked again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.3)
    raise AssertionError("waited in vain")


def ended(store: Store, id: str, seconds: float = 300) -> Job:
    """A job when it has ended."""
    wait_for(lambda: not Jobs(store).get(id).active, seconds)
    return Jobs(store).get(id)


@contextmanager
def paused(server: Server, job: Job) -> Iterator[None]:
    """Training stands still meanwhile, so that a slow page does not meet a run that has already ended."""
    child = wait_for(lambda: Jobs(server.store).get(job.id).status.child, 60)
    assert child is not None, "the job is not training"
    os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child, signal.SIGCONT)


def launch(page: Page, server: Server, dataset: str, method: str = "id", epochs: int = 4) -> Job:
    """Launch a training through the form; the job that it makes."""
    before = {job.id for job in Jobs(server.store).list()}
    visit(page, server, f"/training?dataset={dataset}&method={method}")
    page.get_by_text("Advanced settings", exact=True).click()
    for setting in ("Epochs", "Patience"):  # so many epochs, and no early stop
        page.get_by_role("spinbutton", name=setting).fill(str(epochs))
        page.keyboard.press("Enter")
        settled(page)
    page.get_by_role("button", name="Launch").click()
    (job,) = wait_for(lambda: [j for j in Jobs(server.store).list() if j.id not in before], 30)
    settled(page)
    return job


def ready(page: Page) -> None:
    """Wait until the page has been drawn and its script has run to the end."""
    page.wait_for_selector("h1")
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def visit(page: Page, server: Server, path: str = "/") -> None:
    """Open a page and wait for it."""
    page.goto(server.url + path)
    ready(page)


def settled(page: Page) -> None:
    """Wait for the rerun that a click has set off, if it has begun by then: wait by name for what must come of it."""
    page.wait_for_timeout(400)
    ready(page)


def addressed(page: Page, *parts: str) -> None:
    """Wait until the address holds every part: a page writes it when all of it has been drawn."""
    for part in parts:
        expect(page).to_have_url(re.compile(re.escape(part)))


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of a select box by its label."""
    box = page.get_by_role("combobox", name=label, exact=False).first
    box.click()
    page.get_by_role("option", name=option, exact=True).first.click()
    settled(page)


def metric(page: Page, label: str) -> Locator:
    """The value of a number in a box, by its label."""
    box = page.locator('[data-testid="stMetric"]', has=page.get_by_text(label, exact=True))
    return box.get_by_test_id("stMetricValue")


def shows(page: Page, label: str, value: str) -> None:
    """Wait until the number in a box is this one."""
    expect(metric(page, label)).to_have_text(value)


def chart_data(page: Page, selector: str) -> list[dict[str, Any]]:
    """The traces of the chart inside ``selector``: name and number of points."""
    page.wait_for_selector(f"{selector} .js-plotly-plot .main-svg")
    traces: list[dict[str, Any]] = page.evaluate(
        "s => document.querySelector(s + ' .js-plotly-plot')._fullData"
        ".map(t => ({name: t.name, points: t.x ? t.x.length : 0}))",
        selector,
    )
    return traces


def lasso(page: Page, selector: str) -> None:
    """Draw a loop around most of the chart inside ``selector``."""
    plot = page.locator(f"{selector} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = plot.bounding_box()
    assert box is not None, f"no chart to draw on in {selector}"
    corners = [(0.15, 0.1), (0.85, 0.1), (0.85, 0.9), (0.15, 0.9), (0.15, 0.12)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def mark(page: Page, selector: str, nth: int = 0) -> tuple[float, float]:
    """Where the middle of a dot or bar of the chart inside ``selector`` is on the screen."""
    page.wait_for_selector(f"{selector} .js-plotly-plot .main-svg")
    page.locator(f"{selector} .js-plotly-plot").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = page.locator(f"{selector} .points path, {selector} .points .point path").nth(nth).bounding_box()
    assert box is not None, f"no mark {nth} in {selector}"
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def click_mark(page: Page, selector: str, nth: int = 0) -> None:
    """Click a dot or a bar, as a hand does: what lies above it gets the click."""
    page.mouse.click(*mark(page, selector, nth))
    settled(page)


def click_cell(page: Page, selector: str, row: int, column: float) -> None:
    """Click a cell of the table inside ``selector``: ``row`` counts from 0 below the heading, ``column`` is how far to
    the right, as a share of the width."""
    grid = page.locator(f"{selector} [data-testid='stDataFrameResizable']").first
    grid.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = grid.bounding_box()
    assert box is not None, f"no table in {selector}"
    page.mouse.click(box["x"] + column * box["width"], box["y"] + 35 * (row + 1.5))
    settled(page)
