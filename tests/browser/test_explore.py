"""Compare, Embeddings, Neighbours and Recommend as a visitor's hand and eye meet them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.browsing import Server, addressed, chart_data, lasso, settled, visit, wait_for
from factories import make_dataset, make_embedding
from playwright.sync_api import Browser, Page, expect

from llmesr.config import RunConfig
from llmesr.store import Store
from llmesr.training.train import train

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = {"epochs": 2, "embedding_size": 8, "layers": 1, "max_length": 10}
PWNED = "window.pwned === undefined"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over a shop with hostile titles, text vectors and three trained runs."""
    root = tmp_path_factory.mktemp("explore")
    store = Store(root)
    dataset = make_dataset(store, users=120, items=60, hostile=True)
    make_embedding(store, dataset)
    for method in ("popularity", "id", "llm-esr"):
        train(dataset, RunConfig.read(None, method=method, **({} if method == "popularity" else SMALL)), store)
    server = Server(store, root / "server.log")
    server.start()
    yield server
    server.stop()


def titles(page: Page, chart: int) -> list[str]:
    """The lines of one list on Recommend, without its marks of what moved."""
    said = page.evaluate("i => document.querySelectorAll('.js-plotly-plot')[i].layout.annotations", chart)
    return [a["text"].split("<br>")[0].rsplit("</span>", 1)[1].strip() for a in said]


def selected(page: Page, side: str) -> list[dict[str, Any]]:
    """The trace that lights up what is selected on the other map, if anything is."""
    return [t for t in chart_data(page, f".st-key-map-{side}") if t["name"] == "selected"]


def test_a_lasso_in_one_map_lights_up_in_the_other_and_fills_the_table(page: Page, shop: Server) -> None:
    visit(page, shop, "/embeddings")
    page.get_by_text("Draw a lasso or a box").wait_for()
    lasso(page, ".st-key-map-left")
    page.get_by_text("items selected").wait_for()
    settled(page)

    (chosen,) = wait_for(lambda: selected(page, "right"), 60)
    assert not selected(page, "left"), "its own lasso shows it"
    count = int(page.get_by_text("items selected").inner_text().split()[0])
    assert 0 < chosen["points"] == count <= 60
    table = page.locator(".st-key-map-table canvas table").first
    assert int(table.get_attribute("aria-rowcount") or 0) == count + 1  # and the heading

    addressed(page, "area=")
    other = page.context.new_page()
    visit(other, shop, page.url.removeprefix(shop.url))
    other.get_by_text("items selected").wait_for()
    assert int(other.get_by_text("items selected").inner_text().split()[0]) == count, "the link selects the same"
    other.close()

    page.get_by_role("button", name="Clear selection").click()
    page.get_by_text("Draw a lasso or a box").wait_for()
    wait_for(lambda: not selected(page, "right"), 60)
    assert page.evaluate(PWNED)


def test_a_tail_user_has_neighbours(page: Page, shop: Server) -> None:
    visit(page, shop, "/neighbours?need=random")
    page.get_by_text("Tail User").first.wait_for()
    first = page.locator("h3").first.inner_text()
    assert first.startswith("User ")
    for source in ("text", "behaviour"):
        rows = chart_data(page, f".st-key-near-{source}")
        assert sum(t["points"] for t in rows) > 10, "this user's history and those of ten others"

    page.get_by_role("button", name="Draw again").click()
    page.wait_for_function("was => document.querySelector('h3').innerText !== was", arg=first)
    settled(page)
    expect(page.get_by_text("Tail User").first).to_be_visible()
    assert page.evaluate(PWNED)


def test_an_edited_history_changes_the_ranking(page: Page, shop: Server) -> None:
    visit(page, shop, "/recommend")
    page.get_by_role("button", name="Edit this history").click()
    search = page.get_by_label("Add items")
    search.wait_for()
    settled(page)
    model = 1 if page.locator("[class*='st-key-rec-list']").count() > 1 else 0
    before = titles(page, model)
    assert len(before) == 10

    item = shop_item(shop)
    search.fill(item)
    search.press("Enter")
    add = page.locator("[class*='st-key-rec-add'] button").first
    add.wait_for()
    add.click()
    page.wait_for_function(
        "([i, was]) => JSON.stringify(document.querySelectorAll('.js-plotly-plot')[i].layout.annotations"
        ".map(a => a.text.split('<br>')[0].split('</span>').pop().trim())) !== JSON.stringify(was)",
        arg=[model, before],
    )
    settled(page)
    expect(page.get_by_text("moved").first, "the page says what the change did").to_be_visible()
    addressed(page, item)  # the edited history is in the link
    assert page.evaluate(PWNED)


def shop_item(server: Server) -> str:
    """The id of an item with an ordinary title."""
    from llmesr.data.dataset import load_dataset

    dataset = load_dataset(server.store, server.store.list("datasets")[0].id)
    return str(dataset.catalogue["item_id"].iloc[int(dataset.item_counts[1:].argmin())])


def test_the_report_opens_offline_and_runs_nothing_of_the_data(
    page: Page, shop: Server, chromium: Browser, tmp_path: Path
) -> None:
    visit(page, shop, "/compare")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the report (HTML)").click()
    report = tmp_path / "report.html"
    waiting.value.save_as(report)

    context = chromium.new_context(offline=True)
    reader, asked, errors = context.new_page(), [], []
    reader.on("request", lambda request: asked.append(request.url))
    reader.on("pageerror", lambda error: errors.append(str(error)))
    reader.goto(report.as_uri())
    reader.wait_for_selector(".js-plotly-plot .main-svg")
    charts = reader.locator(".chart").count()
    assert charts >= 8
    assert reader.locator(".chart.js-plotly-plot").count() == charts
    assert reader.locator(".chart .point, .chart .points path").count() > charts, "drawn, not only framed"
    reader.get_by_role("button", name="Light / dark").click()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert not errors
    assert reader.evaluate(PWNED)
    assert reader.locator("main img").count() == 0
    context.close()
