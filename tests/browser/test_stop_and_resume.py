"""Training outlives the page and the server, and a stopped one goes on where it was."""

from __future__ import annotations

import pytest
from browser.browsing import Server, ended, launch, metric, paused, ready, settled, wait_for
from factories import make_dataset
from playwright.sync_api import Page

from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.runs.record import Run

EPOCHS = 60
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def epoch(server: Server, job: Job) -> int:
    """How many epochs the run of a job has behind it."""
    (run,) = job.runs
    return Run(server.store, run).status().epoch if server.store.exists("runs", run) else 0


def no_epoch_twice(server: Server, job: Job) -> list[int]:
    (run,) = job.runs
    epochs: list[int] = Run(server.store, run).events()["epoch"].tolist()
    assert epochs == list(range(1, len(epochs) + 1))
    return epochs


def shown_epoch(page: Page) -> int:
    return int(metric(page, "Epoch").inner_text().split(" of ")[0])


def took_shown(page: Page) -> None:
    """The page has noticed that training has ended, and shows its time once."""
    wait_for(lambda: page.get_by_text("Training took").count() == 1, 60)
    ready(page)


def test_a_refresh_and_a_restarted_server_lose_nothing(page: Page, server: Server) -> None:
    dataset = make_dataset(server.store, users=600, items=80)
    job = launch(page, server, dataset.id, epochs=EPOCHS)
    wait_for(lambda: epoch(server, job) >= 2)
    with paused(server, job):
        page.reload()
        ready(page)
        assert shown_epoch(page) >= 2, "the link leads back to the run"
        server.stop()
        before = epoch(server, job)
    wait_for(lambda: epoch(server, job) > before)  # nobody serves, nobody looks
    with paused(server, job):
        server.start()
        page.reload()
        ready(page)
        assert shown_epoch(page) > before

    assert ended(server.store, job.id).state == "SUCCEEDED"
    assert len(Jobs(server.store).list()) == 1
    took_shown(page)  # the open page notices by itself
    assert shown_epoch(page) == len(no_epoch_twice(server, job)) == EPOCHS


def test_stop_and_resume(page: Page, server: Server) -> None:
    dataset = make_dataset(server.store, users=600, items=80)
    job = launch(page, server, dataset.id, epochs=EPOCHS)
    wait_for(lambda: epoch(server, job) >= 2)
    with paused(server, job):
        page.get_by_role("button", name="Stop").first.click()
        wait_for(lambda: Jobs(server.store).get(job.id).status.stop_requested)
    page.get_by_text("Stopped; it can go on where it was.").wait_for()
    stopped = epoch(server, job)
    assert Jobs(server.store).get(job.id).state == "STOPPED"
    assert 2 <= stopped < EPOCHS

    page.get_by_role("button", name="Resume").click()
    settled(page)
    wait_for(lambda: epoch(server, job) > stopped)
    assert ended(server.store, job.id).state == "SUCCEEDED"
    took_shown(page)
    assert shown_epoch(page) == len(no_epoch_twice(server, job)) == EPOCHS
