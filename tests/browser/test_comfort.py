"""Small screens, the keyboard, and text that can be read: what every page owes every visitor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.browsing import addressed, ready, settled, visit
from browser.text_shop import Shop, text_shop
from playwright.sync_api import Page, ViewportSize, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
PHONE: ViewportSize = {"width": 390, "height": 844}
LAPTOP: ViewportSize = {"width": 1024, "height": 768}
PAGES = (
    "/",
    "/story?step=4",
    "/datasets?look=profile",
    "/datasets?look=add",
    "/training?open=command",
    "/training?part=watch",
    "/compare",
    "/compare?view=study",
    "/embeddings",
    "/neighbours",
    "/recommend",
    "/lab",
    "/findings",
)


SCREENS: tuple[ViewportSize, ...] = (
    {"width": 1440, "height": 900},
    {"width": 1280, "height": 900},
    {"width": 1024, "height": 768},
    {"width": 390, "height": 844},
)
NOT_SETTLED = "[data-testid='stAlert']"
"""Where something serious stands against a comparison, that is its answer."""
ANSWERS = {
    "/": (".st-key-headline-words", 250),
    "/story?step=4": ("[data-testid='stMain'] h1", 100),
    "/datasets?look=profile": ("[data-testid='stMetric']", 80),
    "/training": ("[data-testid='stBaseButton-primary']", 40),
    "/training?part=watch": ("[data-testid='stDataFrame']", 140),
    "/compare": (f"{NOT_SETTLED}, .st-key-verdicts", 100),
    "/compare?view=slices": (f"{NOT_SETTLED}, .st-key-stands-out", 40),
    "/embeddings": (".st-key-map-left", 150),
    "/neighbours": ("[data-testid='stMetric']", 60),
    "/recommend": ("[class*='st-key-rec-list-'] .js-plotly-plot", 110),
    "/lab": ("[data-testid='stFormSubmitButton']", 40),
}
"""What a page answers, and how many pixels of it the first screen shows at least."""


LISTS = "[class*='st-key-rec-list-'] .js-plotly-plot"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with text_shop(tmp_path_factory.mktemp("comfort"), "id", "text-ease", "item-knn") as made:
        yield made


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(visitors: Callable[..., Page], shop: Shop, theme: str) -> None:
    page = visitors(color_scheme=theme)
    faint = {}
    for path in PAGES:
        visit(page, shop.server, path)
        settled(page)
        if found := page.evaluate(CONTRAST):
            faint[path] = found
    assert not faint


@pytest.mark.parametrize("path", [p for p in PAGES if "look=add" not in p])
def test_nothing_is_wider_than_a_phone(page: Page, shop: Shop, path: str) -> None:
    page.set_viewport_size(PHONE)
    visit(page, shop.server, path)
    wide = page.evaluate(
        "() => { const m = document.querySelector('[data-testid=\"stMain\"]'); return m.scrollWidth - m.clientWidth }"
    )
    assert wide <= 0


@pytest.mark.parametrize("size", SCREENS, ids=lambda s: f"{s['width']}x{s['height']}")
def test_the_first_screen_holds_the_answer(page: Page, shop: Shop, size: ViewportSize) -> None:
    page.set_viewport_size(size)
    below = {}
    for path, (answer, seen) in ANSWERS.items():
        visit(page, shop.server, path)
        if (begins := _below(page, answer, seen, size)) is not None:
            below[path] = f"begins {begins:.0f} px down"
    assert not below


def _below(page: Page, answer: str, seen: int, size: ViewportSize) -> float | None:
    """Where an answer begins of which the first screen shows fewer than ``seen`` pixels; None where it shows them."""
    place = page.locator(answer).first
    place.wait_for()
    settled(page)
    box = place.bounding_box()
    assert box is not None
    return box["y"] if box["y"] + min(box["height"], seen) > size["height"] else None


DESPITE_DOUBTS: tuple[tuple[str, str, tuple[ViewportSize, ...], int], ...] = (
    ("/compare", ".st-key-verdicts canvas", ({"width": 1440, "height": 900}, {"width": 1280, "height": 900}), 180),
    ("/compare", ".st-key-verdicts canvas", ({"width": 1024, "height": 768},), 180),
    ("/compare", ".st-key-compare-answer", (PHONE,), 350),
    ("/compare?view=slices", ".st-key-stands-out [data-testid='stMarkdown']", SCREENS, 20),
)
"""Where the numbers begin below what stands against them, and how many pixels of them the first screen shows."""


def test_serious_doubts_leave_the_numbers_on_the_first_screen(page: Page, shop: Shop) -> None:
    below = {}
    for path, answer, sizes, seen in DESPITE_DOUBTS:
        for size in sizes:
            page.set_viewport_size(size)
            visit(page, shop.server, path)
            page.get_by_text("serious doubts, above all").wait_for()
            if (begins := _below(page, answer, seen, size)) is not None:
                below[path, size["width"]] = f"begins {begins:.0f} px down"
    assert not below


def test_all_serious_doubts_are_listed_with_what_settles_them(page: Page, shop: Shop) -> None:
    visit(page, shop.server, "/compare")
    line = page.locator("summary", has_text="Before you repeat this")
    many = int(re.findall(r"(\d+) serious", line.inner_text())[0])
    line.click()
    listed = page.locator("[data-testid='stExpanderDetails'] p", has=page.locator("[aria-label='warning icon']"))
    expect(listed).to_have_count(many)
    expect(page.locator("[class*='st-key-remedy-grave-'] button").first).to_be_visible()


def test_a_phone_shows_lists_before_knobs(page: Page, shop: Shop) -> None:
    visit(page, shop.server, "/recommend")
    lists, knob = page.locator("[class*='st-key-rec-list-']").first, page.locator(".st-key-rec-weight")

    def top(place: object) -> float:
        box = place.bounding_box()  # type: ignore[attr-defined]
        assert box is not None
        return float(box["y"])

    lists.wait_for()
    assert top(knob) < top(lists), "beside the history, where there is room"
    page.set_viewport_size(PHONE)
    settled(page)
    assert top(lists) < top(knob)


def test_three_lists_stand_in_a_row_on_a_small_screen(page: Page, shop: Shop) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    visit(page, shop.server, "/recommend")
    page.locator(LISTS).nth(2).wait_for()
    settled(page)
    lists = [page.locator(LISTS).nth(n).bounding_box() for n in range(3)]
    assert len({round(box["y"]) for box in lists if box}) == 1
    edit, toggle = page.locator(".st-key-rec-edit").bounding_box(), page.locator(".st-key-rec-judged").bounding_box()
    assert edit is not None
    assert toggle is not None
    assert abs(edit["y"] + edit["height"] / 2 - toggle["y"] - toggle["height"] / 2) < 5, "in one line"


def test_wide_charts_are_moved_under_the_finger_on_a_phone(page: Page, shop: Shop) -> None:
    page.set_viewport_size(PHONE)
    for view, key in (("lists", "beyond"), ("popularity", "popularity"), ("users", "outcomes")):
        visit(page, shop.server, f"/compare?view={view}")
        plot = page.locator(f".st-key-{key} .js-plotly-plot .main-svg").first
        plot.wait_for()
        settled(page)
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] >= 640, view
        held = page.locator(f".st-key-{key}").first.bounding_box()
        assert held is not None
        assert held["width"] <= PHONE["width"], view


def test_a_small_screen_shows_the_answer_before_who_is_compared(page: Page, shop: Shop) -> None:
    for view, size in (("groups", PHONE), ("curves", PHONE), ("slices", LAPTOP)):
        page.set_viewport_size(size)
        visit(page, shop.server, f"/compare?view={view}")
        settled(page)
        answer, choice = (page.locator(f".st-key-compare-{part}").bounding_box() for part in ("answer", "choice"))
        assert answer is not None
        assert choice is not None
        assert answer["y"] + answer["height"] <= choice["y"], view


def test_the_views_of_compare_are_reached_by_the_keyboard(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/compare?dataset={shop.dataset.id}")
    page.get_by_text("Does it hold?", exact=True).wait_for()
    walked(page, "Does it hold?")
    page.keyboard.press("Enter")
    settled(page)
    addressed(page, "view=popularity")
    walked(page, "Splits")
    page.keyboard.press("Enter")
    settled(page)
    addressed(page, "view=splits")
    page.reload()
    ready(page)
    page.get_by_text("so look at the").wait_for()


def walked(page: Page, until: str, most: int = 120) -> None:
    """Go by Tab, inside a group of buttons by the arrows, to the control that says ``until``; it must come."""
    said = "() => (document.activeElement.innerText || '').trim()"
    page.evaluate("() => document.activeElement.blur()")
    met = []
    for _ in range(most):
        page.keyboard.press("Tab")
        for arrow in range(5):
            met.append(str(page.evaluate(said)))
            if met[-1] == until:
                return
            if arrow == 4 or not page.evaluate("() => !!document.activeElement.closest('.st-key-compare-views')"):
                break
            page.keyboard.press("ArrowRight")
    raise AssertionError(f"the keyboard does not come to {until!r}: {list(dict.fromkeys(met))}")


def test_runs_that_are_picked_are_in_the_link(page: Page, shop: Shop) -> None:
    run = next(r for r in shop.runs if r.config.method == "id")
    visit(page, shop.server, f"/training?dataset={shop.dataset.id}&part=watch&picked={run.id}")
    page.get_by_role("button", name="Tags and note").wait_for()
    page.wait_for_selector(".st-key-board-curves .js-plotly-plot .main-svg")
    addressed(page, f"picked={run.id}")
