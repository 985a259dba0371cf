"""From a chart to the meeting: pinned, put in order, presented by the arrow keys, taken along; as a visitor does it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.browsing import Server, addressed, serving, settled, visit, wait_for
from factories import make_dataset, make_standard_runs
from playwright.sync_api import Page, expect
from pptx import Presentation

from llmesr import findings
from llmesr.data.dataset import Dataset
from llmesr.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Dataset]]:
    root = tmp_path_factory.mktemp("findings")
    store = Store(root)
    dataset = make_dataset(store, users=200, items=60)
    make_standard_runs(store, dataset)
    with serving(store, root / "server.log") as server:
        yield server, dataset


def pin(page: Page, server: Server, path: str, key: str, title: str) -> None:
    """Pin a chart through the dialog."""
    there = len(findings.every(server.store))
    visit(page, server, path)
    page.locator(f".st-key-pin-{key} button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title").fill(title)
    dialog.get_by_label("Note").fill(f"What {title} means.")
    dialog.get_by_role("button", name="Pin").click()
    dialog.wait_for(state="detached")
    wait_for(lambda: len(findings.every(server.store)) == there + 1, 60)


def test_pin_order_present_and_export(page: Page, shop: tuple[Server, Dataset], tmp_path: Path) -> None:
    server, dataset = shop
    pin(page, server, f"/compare?dataset={dataset.id}", "above-differences", "Whom text helps")
    pin(page, server, f"/story?dataset={dataset.id}&step=1", "above-story-1", "How long the tail is")

    visit(page, server, "/findings")
    titles = page.locator("h3")
    expect(titles).to_have_text(["Whom text helps", "How long the tail is"])
    page.get_by_role("button", name="Move up").last.click()
    wait_for(lambda: findings.every(server.store)[0].title == "How long the tail is", 60)
    expect(titles).to_have_text(["How long the tail is", "Whom text helps"])

    page.get_by_role("button", name="Present", exact=True).click()
    page.get_by_role("heading", name="How long the tail is", level=1).wait_for()
    expect(page.get_by_test_id("stSidebar")).not_to_be_visible()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Whom text helps", level=1).wait_for()
    page.get_by_text("What Whom text helps means.").wait_for()
    settled(page)
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("button", name="Slides (PowerPoint)").wait_for()
    settled(page)

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Slides (PowerPoint)").click()
    file = tmp_path / "findings.pptx"
    waiting.value.save_as(file)
    slides = list(Presentation(str(file)).slides)
    assert len(slides) == 3
    assert any(shape.has_chart for shape in slides[2].shapes)

    with page.expect_download() as waiting:
        page.get_by_role("button", name="PDF").click()
    paper = tmp_path / "findings.pdf"
    waiting.value.save_as(paper)
    assert paper.read_bytes().startswith(b"%PDF-")
    assert b"%%EOF" in paper.read_bytes()[-32:]

    page.get_by_role("link", name=re.compile("Open on Compare")).click()
    page.get_by_role("heading", name="Compare", level=1).wait_for()
    settled(page)
    addressed(page, f"dataset={dataset.id}")
    addressed(page, "against=")
