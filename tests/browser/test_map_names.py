"""Regions of a map are named by how close one looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.browsing import Server, serving, settled, visit, wait_for
from factories import make_dataset, make_embedding
from playwright.sync_api import Page, expect

from llmesr.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MAP = ".st-key-map-left"
RANGE = f"document.querySelector('{MAP} .js-plotly-plot')._fullLayout.xaxis.range"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over a shop of which there are text vectors alone: the same space is drawn twice."""
    root = tmp_path_factory.mktemp("names")
    store = Store(root)
    make_embedding(store, make_dataset(store, users=400, items=500))
    with serving(store, root / "server.log") as server:
        yield server


def written(page: Page) -> list[str]:
    """The names that the browser has written over the map."""
    return page.locator(f"{MAP} .map-names span").all_inner_texts()


def over_the_map(page: Page) -> None:
    """Put the mouse over the middle of the map."""
    plot = page.locator(f"{MAP} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_closer_look_names_smaller_regions_and_a_wheel_alone_moves_the_page(page: Page, shop: Server) -> None:
    visit(page, shop, "/embeddings")
    annotations = page.locator(f"{MAP} .infolayer .annotation")
    expect(annotations.first).to_be_visible()
    whole, names = page.evaluate(RANGE), annotations.all_text_contents()
    over_the_map(page)
    page.mouse.wheel(0, -100)
    settled(page)
    assert page.evaluate(RANGE) == whole
    assert not written(page)

    over_the_map(page)
    page.keyboard.down("Control")
    for _ in range(8):
        page.mouse.wheel(0, -100)
        page.wait_for_timeout(100)
    page.keyboard.up("Control")
    closer = wait_for(lambda: written(page), 30)
    low, high = page.evaluate(RANGE)
    assert high - low < (whole[1] - whole[0]) / 1.3
    assert set(closer) - set(names), "regions are named that had no room in the whole picture"
    assert len(closer) == len(set(closer))
    expect(annotations.first).to_be_hidden()
    assert not page.locator(".st-key-map-right .map-names").count(), "the other map stays whole"

    page.locator(f"{MAP} [data-title='Reset axes']").click()
    expect(annotations.first).to_be_visible()
    wait_for(lambda: not written(page), 30)
