"""Two visitors at once: each with an own selection, one queue, and no dataset taken away from under a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.browsing import Server, addressed, choose, launch, paused, ready, settled, shows, visit, wait_for
from factories import make_dataset, make_standard_runs
from playwright.sync_api import Page

from llmesr.jobs.queue import Jobs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_each_visitor_keeps_an_own_selection(visitors: Callable[..., Page], server: Server) -> None:
    for name, size in (("small", 60), ("large", 120)):
        make_standard_runs(server.store, make_dataset(server.store, name=name, users=size, items=40))
    first, second = visitors(), visitors()
    visit(first, server)
    visit(second, server)
    choose(first, "Dataset", "small")
    choose(second, "Dataset", "large")
    first.get_by_text("uni100", exact=True).first.click()
    settled(first)
    for page, users, protocol in ((first, "60", "uni100"), (second, "120", "full")):
        shows(page, "Users", users)
        addressed(page, f"protocol={protocol}")
        page.reload()  # the selection is in the URL
        ready(page)
        shows(page, "Users", users)

    first.get_by_role("link", name="Datasets").first.click()  # and goes along to another page
    first.get_by_text("Where does the tail end?").wait_for()
    settled(first)  # a page writes its address when all of it is drawn
    addressed(first, "small")


@pytest.mark.slow
def test_launches_queue_and_a_dataset_in_use_stays(visitors: Callable[..., Page], server: Server) -> None:
    dataset = make_dataset(server.store, users=300, items=80)
    first, second = visitors(), visitors()
    running = launch(first, server, dataset.id, epochs=100)
    wait_for(lambda: server.store.exists("runs", running.runs[0]))
    with paused(server, running):
        waiting = launch(second, server, dataset.id, epochs=100)
        second.get_by_text("waiting for 1 job before it").first.wait_for()
        assert [Jobs(server.store).get(j.id).state for j in (running, waiting)] == ["RUNNING", "PENDING"]

        visit(second, server, f"/datasets?dataset={dataset.id}")
        second.get_by_role("button", name="Delete this dataset").click()
        second.get_by_text("Yes, I am sure").click()
        settled(second)
        second.get_by_role("button", name="Delete", exact=True).click()
        second.get_by_text("is used by a job that has not ended").wait_for()
        assert server.store.exists("datasets", dataset.id)

        first.get_by_role("button", name="Stop").first.click()
        wait_for(lambda: Jobs(server.store).get(running.id).status.stop_requested)
    first.get_by_text("Stopped; it can go on where it was.").wait_for()
    second.goto(f"{server.url}/training?dataset={dataset.id}&part=queue")
    ready(second)
    second.get_by_text("running").first.wait_for()
    assert Jobs(server.store).get(waiting.id).state == "RUNNING", "the next one starts when the first has ended"
