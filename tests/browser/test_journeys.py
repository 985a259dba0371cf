"""What an analyst does from day to day, as a hand and an eye meet it: keep order among runs, ask of segments and of a
region of the map, try several products, show what was found on any screen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd
import pytest
from browser.browsing import addressed, lasso, settled, visit, wait_for
from browser.text_shop import Shop, text_shop
from playwright.sync_api import Page, ViewportSize, expect

from llmesr import findings
from llmesr.runs.record import Run

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with text_shop(tmp_path_factory.mktemp("journeys"), "id", "text-ease", "popularity") as made:
        yield made


def expect_runs(page: Page, count: int) -> None:
    """Wait until the leaderboard lists so many runs (and its heading)."""
    table = page.locator("[class*=st-key-board-] canvas table").first
    expect(table).to_have_attribute("aria-rowcount", str(count + 1))


def test_runs_are_tagged_found_and_put_away(page: Page, shop: Shop) -> None:
    run = next(r for r in shop.runs if r.config.method == "popularity")
    here = f"/training?dataset={shop.dataset.id}&part=watch"
    visit(page, shop.server, f"{here}&picked={run.id}")
    expect_runs(page, 3)
    page.get_by_role("button", name="Tags and note").click()
    page.get_by_label("Add tags").fill("floor")
    page.get_by_label("Note", exact=True).fill("what nobody may fall below")
    page.get_by_role("button", name="Save", exact=True).click()
    wait_for(lambda: Run(shop.server.store, run.id).remarks.note == "what nobody may fall below", 60)
    assert Run(shop.server.store, run.id).remarks.tags == ("floor",)

    visit(page, shop.server, f"{here}&tags=floor")
    expect_runs(page, 1)
    visit(page, shop.server, here)
    page.get_by_label("Find").fill("fall below")
    page.keyboard.press("Enter")
    expect_runs(page, 1)

    visit(page, shop.server, f"{here}&picked={run.id}")
    page.get_by_role("button", name="Archive", exact=True).click()
    wait_for(lambda: Run(shop.server.store, run.id).remarks.archived, 60)
    expect_runs(page, 2)
    visit(page, shop.server, f"/compare?dataset={shop.dataset.id}")
    page.get_by_text("Compared with").wait_for()
    expect(page.locator("[data-testid='stMultiSelect']").first).not_to_contain_text("popularity")

    visit(page, shop.server, here)
    page.get_by_text("Archived too").click()
    expect_runs(page, 3)
    Run(shop.server.store, run.id).remark(archived=False)


def test_a_region_of_the_map_says_what_its_users_get(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/embeddings?dataset={shop.dataset.id}&colour=outcome")
    page.get_by_text("by both").first.wait_for()
    lasso(page, ".st-key-map-left")
    said = page.locator("p", has_text="users whose held-out item is among these")
    expect(said).to_have_text(re.compile(r"^Of \d+ users .+ text-ease finds \d+\.\d% \(all: .+\)\."))


def test_slices_say_what_stands_out_and_what_hits_are_worth(page: Page, shop: Shop) -> None:
    pair = "compare=id/sasrec&compare=text-ease&against=id/sasrec"
    visit(page, shop.server, f"/compare?dataset={shop.dataset.id}&{pair}&view=slices")
    for question, key in (("Where it gains", "helps"), ("Where it fails", "fails")):
        page.get_by_text(question, exact=True).click()
        said = page.locator(".st-key-stands-out [data-testid='stMarkdown'] p")
        expect(said.last).to_contain_text("Every question is corrected on its own.")
        if key != "fails":  # the address leaves out what is usual
            addressed(page, f"stands={key}")
    page.get_by_text("Fairness: who is served best and worst").click()
    page.get_by_text("A file of users (region, age, plan) can be uploaded").wait_for()
    addressed(page, "open=fairness")


def test_several_products_are_tried_at_once(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/lab?dataset={shop.dataset.id}&lab=new&products=rows")
    page.get_by_label("Rows").fill("title\nGravel bike light\nTent for two")
    page.get_by_role("button", name="Try it").click()
    table = page.locator("canvas table", has_text="Median rank")
    table.wait_for(state="attached")
    expect(table).to_have_attribute("aria-rowcount", "3")
    expect(table).to_contain_text("Tent for two")


def test_the_held_out_item_is_marked_with_its_rank_in_every_list(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/recommend?dataset={shop.dataset.id}")
    page.get_by_text("Before the held-out item", exact=True).click()
    expect(page.get_by_label("User ID")).not_to_have_value("")
    addressed(page, "rec.judged=true")
    said = page.locator("[data-testid='stMarkdown']", has_text="Held-out item: rank")
    expect(said).to_have_count(3)
    page.get_by_text("Held out ★").wait_for()

    def marked() -> bool:
        """Whether the star stands at the rank that is said, and nowhere where that is not in the list."""
        ranks = [int(re.findall(r"rank ([\d,]+)", text)[0].replace(",", "")) for text in said.all_inner_texts()]
        drawn = [page.evaluate(LISTED, number) for number in range(len(ranks))]
        stars = [[i + 1 for i, title in enumerate(titles) if "★" in title] for titles in drawn]
        return stars == [[rank] if rank <= 10 else [] for rank in ranks]

    wait_for(marked, 60)  # a list may be drawn after its heading


LISTS = "[class*=st-key-rec-list-] .js-plotly-plot"
LISTED = f"i => (document.querySelectorAll('{LISTS}')[i]?.layout?.annotations ?? []).map(a => a.text)"
WIDER = "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth }"
SCREENS: tuple[ViewportSize, ...] = (
    {"width": 1920, "height": 1080},
    {"width": 1440, "height": 900},
    {"width": 1024, "height": 768},
    {"width": 390, "height": 844},
)


def test_a_presented_finding_shows_its_picture_on_every_screen(page: Page, shop: Shop) -> None:
    """However much stands against it: the picture begins on the first screen, and nothing is wider than that."""
    visit(page, shop.server, f"/compare?dataset={shop.dataset.id}&view=groups")
    page.locator(".st-key-pin-above-differences button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title").fill("Whom text helps, and whom it does not help")
    dialog.get_by_label("Note").fill("Text helps where hardly anybody has chosen an item yet.")
    dialog.get_by_role("button", name="Pin").click()
    dialog.wait_for(state="detached")
    (finding,) = wait_for(lambda: findings.every(shop.server.store), 60)
    assert sum(severity == "serious" for severity, _ in finding.subject.doubts) > 1
    for size in SCREENS:
        page.set_viewport_size(size)
        visit(page, shop.server, f"/findings?findings={finding.id}&present=1")
        page.get_by_role("heading", name="Whom text helps", level=1).wait_for()
        expect(page.get_by_text("Not settled when it was pinned.")).to_be_visible()
        plot = page.locator(".js-plotly-plot .main-svg").first
        plot.wait_for()
        settled(page)
        box = plot.bounding_box()
        assert box is not None
        assert box["y"] + 250 <= size["height"], f"the picture begins {box['y']:.0f} px down at {size['width']}"
        assert page.evaluate(WIDER) <= 0
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_test_id("stMultiSelect").first).to_contain_text("Whom text helps")  # the choice of the link


def test_a_finding_is_edited_and_its_words_stay(page: Page, shop: Shop) -> None:
    kept = findings.pin("Draft", table=pd.DataFrame({"users": [3]}), store=shop.server.store)
    visit(page, shop.server, f"/findings?findings={kept.id}")
    place = page.locator(f".st-key-finding-{kept.id}")
    place.get_by_role("button", name="Edit").click()
    page.get_by_label("Title", exact=True).fill("What we agreed on")
    page.get_by_role("button", name="Save", exact=True).click()
    place.get_by_role("heading", name="What we agreed on").wait_for()
    page.reload()
    place.get_by_role("heading", name="What we agreed on").wait_for()
