"""A link someone sent works on a server that has just been started, and untrusted text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.browsing import Server, addressed, serving, settled, visit
from factories import HOSTILE, make_dataset, make_embedding, make_running_run, make_standard_runs
from playwright.sync_api import Dialog, Page, expect

from llmesr.data.dataset import Dataset
from llmesr.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Shop = tuple[Server, Dataset]
UNHURT = "window.pwned === undefined"
PAGES = ("/", *(f"/story?step={n}" for n in range(1, 6)), "/datasets", "/training", "/training?part=watch", "/compare")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The app over a dataset whose name, titles and files are meant to do harm, beside a harmless newer one."""
    root = tmp_path_factory.mktemp("links")
    store = Store(root)
    dataset = make_dataset(store, name="<img src=x onerror=window.pwned=1> **bold**", hostile=True)
    make_standard_runs(store, dataset)
    make_running_run(store, dataset, epoch=3)
    make_embedding(store, dataset, id="texts")
    make_dataset(store, name="newest", users=60, items=30)
    with serving(store, root / "server.log") as server:
        yield server, dataset


def test_a_deep_link_is_the_first_thing_a_new_server_sees(page: Page, shop: Shop) -> None:
    server, dataset = shop
    visit(page, server, f"/story?dataset={dataset.id}&step=4&protocol=uni100&present=1")
    assert page.locator("h1").inner_text().startswith("4. ")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    assert "uni100" in (page.locator(".js-plotly-plot").text_content() or ""), "the chart names its protocol"
    assert not page.locator('[data-testid="stSidebar"]').is_visible()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Step 5 of 5").wait_for()
    addressed(page, "step=5")
    addressed(page, dataset.id)


def test_a_link_to_what_is_gone_shows_what_is_there(page: Page, shop: Shop) -> None:
    server, dataset = shop
    visit(page, server, "/training?dataset=gone-1234&part=watch&run=gone-5678")
    page.get_by_text("3 of").first.wait_for()  # the running run, of the dataset that has runs
    addressed(page, dataset.id)
    expect(page).not_to_have_url(re.compile("gone"))
    visit(page, server, f"/compare?dataset={dataset.id}&compare=gone/sasrec&compare=popularity")
    page.get_by_text("The link names gone/sasrec, which is not here").wait_for()
    visit(page, server, "/story?step=99")
    assert page.locator("h1").inner_text().startswith("1. ")


@pytest.mark.parametrize("path", PAGES)
def test_hostile_names_and_titles_are_shown_as_text(page: Page, shop: Shop, path: str) -> None:
    server, dataset = shop
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    visit(page, server, f"{path}{'&' if '?' in path else '?'}dataset={dataset.id}")
    settled(page)
    assert page.evaluate(UNHURT)
    assert not dialogs
    assert page.locator("img[src=x]").count() == 0
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.get_by_text("could not be shown").count() == 0
    if "<img" not in page.locator("body").inner_text():
        assert page.get_by_role("combobox", name="Dataset").input_value().startswith("<img")


def test_hostile_titles_in_a_chart_are_named_as_they_are(page: Page, shop: Shop) -> None:
    """Among the nearest items of one tail item or another is a hostile one: its title is drawn, not run."""
    server, dataset = shop
    visit(page, server, f"/story?dataset={dataset.id}&step=3")
    for _ in range(15):
        drawn = page.locator(".js-plotly-plot").text_content() or ""
        if any(title in drawn for title in HOSTILE if "pwned" in title):
            break
        page.get_by_role("button", name="Another tail item").click()
        settled(page)
    else:
        raise AssertionError("no hostile title was drawn")
    assert page.evaluate(UNHURT)
    scripts = page.locator('[data-testid="stMain"] script').all_text_contents()
    assert [script for script in scripts if "history.llmesr" not in script] == [], "only the app's own"


def test_back_leaves_a_page_in_one_press(page: Page, shop: Shop) -> None:
    server, dataset = shop
    visit(page, server, f"/compare?dataset={dataset.id}")
    page.wait_for_function("window.history.llmesr")  # a slow browser draws a page before it runs what the page brings
    before = page.evaluate("history.length")
    page.get_by_role("link", name="Training", exact=True).first.click()
    page.get_by_role("heading", name="Training", level=1).wait_for()
    settled(page)
    for part, written in (("Runs and curves", "part=watch"), ("Queue", "part=queue")):
        page.get_by_text(part, exact=True).click()
        addressed(page, written)
    page.get_by_text("uni100", exact=True).first.click()
    addressed(page, "part=queue", "protocol=uni100")
    assert page.evaluate("history.length") == before + 1, "one entry for a page, whatever was moved on it"
    page.go_back()
    page.get_by_role("heading", name="Compare", level=1).wait_for()
    settled(page)
    addressed(page, "/compare?")


def test_a_box_that_is_open_is_in_the_link(page: Page, shop: Shop) -> None:
    server, dataset = shop
    visit(page, server, f"/compare?dataset={dataset.id}&view=groups")
    box = page.get_by_text("Every metric, every group and the four cells of users and items")
    box.click()
    settled(page)
    addressed(page, "open=every")
    table = page.locator('[data-testid="stExpander"] canvas table', has_text="dimension")
    table.wait_for(state="attached")
    page.reload()
    page.locator('[data-testid="stExpander"] canvas table', has_text="dimension").wait_for(state="attached")
    box.click()
    settled(page)
    expect(page).not_to_have_url(re.compile("open="))
