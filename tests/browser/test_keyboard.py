"""The main journey of every page without a mouse, and a name for every control, as a screen reader says it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.browsing import settled, visit, wait_for
from browser.text_shop import Shop, text_shop
from playwright.sync_api import Locator, Page, expect

from llmesr import findings
from llmesr.jobs.queue import Jobs

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
CONTROLS = "button|checkbox|combobox|link|listbox|menuitem|radio|searchbox|slider|spinbutton|switch|tab|textbox"
NAMELESS = re.compile(rf"^\s*- (?:{CONTROLS})(?: \[[^\]]*\])*:?$", re.MULTILINE)
"""A control in Playwright's outline of what is accessible that has no name in quotation marks."""
PATHS = (
    "/",
    "/story?step=3",
    "/datasets?look=profile",
    "/datasets?look=add",
    "/training?open=advanced",
    "/training?part=best",
    "/training?part=tune",
    "/training?part=watch",
    "/training?part=queue",
    *(f"/compare?view={view}" for view in ("groups", "slices", "users", "lists", "defend", "scoring", "study")),
    "/embeddings",
    "/neighbours",
    "/recommend",
    "/lab",
    "/lab?lab=edit",
    "/findings",
    "/findings?stage=vote",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with text_shop(tmp_path_factory.mktemp("keyboard"), "id", "item-knn", "text-ease") as made:
        yield made


def reach(page: Page, target: Locator, most: int = 150) -> None:
    """Go to a control by Tab, inside its own group of choices by the arrow; it must come."""
    target.wait_for()
    grouped = (
        "e => { const g = e.closest('[data-testid=\"stButtonGroup\"], [role=tablist], [role=radiogroup]');"
        " return !!g && g.contains(document.activeElement) }"
    )
    for _ in range(most):
        page.keyboard.press("Tab")
        for _ in range(8):
            if target.evaluate("e => e === document.activeElement"):
                return
            if not target.evaluate(grouped):
                break
            page.keyboard.press("ArrowRight")
    said = page.evaluate("() => document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"the keyboard does not come to {target}; it is at {said}")


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Reach a control and press a key on it."""
    reach(page, target)
    page.keyboard.press(key)
    settled(page)


@pytest.mark.parametrize("path", PATHS)
def test_every_control_has_a_name(page: Page, shop: Shop, path: str) -> None:
    visit(page, shop.server, path)
    settled(page)
    outline = page.locator("body").aria_snapshot()
    assert "button" in outline
    assert NAMELESS.findall(outline) == []


def test_overview_and_story(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/?dataset={shop.dataset.id}")
    press(page, page.get_by_role("radio", name="Users by history length"))
    page.wait_for_url("**by=User**")
    expect(page.locator(".st-key-headline-words")).to_contain_text("with a long history")
    visit(page, shop.server, f"/story?dataset={shop.dataset.id}")
    press(page, page.get_by_role("button", name=re.compile("^Next")))
    page.get_by_text("Step 2 of 5").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Step 3 of 5").wait_for()


def test_the_tail_is_moved(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/datasets?dataset={shop.dataset.id}&look=profile")
    was = shop.dataset.thresholds.item
    press(page, page.locator(".st-key-tail_item").get_by_role("slider"), "ArrowRight")
    page.wait_for_url(f"**tail_item={was + 1}**")
    page.get_by_text(f"fewer than {was + 1} training interactions").first.wait_for()


def test_a_training_is_launched(page: Page, shop: Shop) -> None:
    store = shop.server.store
    before = {job.id for job in Jobs(store).list()}
    visit(page, shop.server, f"/training?dataset={shop.dataset.id}&method=popularity")
    press(page, page.get_by_role("button", name="Launch"))
    (job,) = wait_for(lambda: [j for j in Jobs(store).list() if j.id not in before], 60)
    assert [step.verb for step in job.record.steps] == ["train"]
    wait_for(lambda: not Jobs(store).get(job.id).active, 120)


def test_a_map_is_coloured_and_a_user_chosen(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/embeddings?dataset={shop.dataset.id}")
    press(page, page.get_by_role("radio", name="Popularity"))
    page.wait_for_url("**colour=count**")
    visit(page, shop.server, f"/neighbours?dataset={shop.dataset.id}&need=random")
    heading = page.locator("h3").first
    was = heading.inner_text()
    press(page, page.get_by_role("combobox", name="User", exact=False).last, "ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(heading).not_to_have_text(was)


def test_a_knob_is_turned(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/recommend?dataset={shop.dataset.id}")
    press(page, page.locator(".st-key-rec-weight").get_by_role("slider"), "ArrowRight")
    page.wait_for_url("**rec.weight=0.25**")
    page.get_by_text("Content weight 0.25").first.wait_for()


def test_a_product_is_tried(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/lab?dataset={shop.dataset.id}")
    reach(page, page.get_by_label("Title", exact=True))
    page.keyboard.type("Gravel bike light, waterproof")
    press(page, page.get_by_role("button", name="Try it"))
    page.get_by_text("Users reached (first 10)").wait_for()


def test_a_chart_is_pinned(page: Page, shop: Shop) -> None:
    store = shop.server.store
    there = len(findings.every(store))
    visit(page, shop.server, f"/story?dataset={shop.dataset.id}&step=1")
    press(page, page.get_by_role("button", name="Pin"))
    dialog = page.get_by_role("dialog")
    reach(page, dialog.get_by_label("Note"))
    page.keyboard.type("Most items are rarely chosen.")
    press(page, dialog.get_by_role("button", name="Pin"))
    dialog.wait_for(state="detached")
    wait_for(lambda: len(findings.every(store)) == there + 1, 60)
    assert findings.every(store)[0].note == "Most items are rarely chosen."
