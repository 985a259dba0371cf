"""The analyst's workbench as a hand and an eye meet it: who is behind a mark, the lab, a blind vote."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.browsing import (
    addressed,
    click_cell,
    click_mark,
    launch,
    paused,
    settled,
    visit,
    wait_for,
)
from browser.text_shop import Shop, text_shop
from factories import make_dataset
from playwright.sync_api import Page, expect

from llmesr.votes import KIND, Vote

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with text_shop(tmp_path_factory.mktemp("workbench"), "id", "semantic-knn", "text-ease") as made:
        yield made


def compared(shop: Shop, view: str) -> str:
    return f"/compare?dataset={shop.dataset.id}&compare=id/sasrec&compare=text-ease&against=id/sasrec&view={view}"


def listed(page: Page, key: str) -> int:
    """How many users the table of a drill-down lists."""
    table = page.locator(f".st-key-drill-{key} canvas table").first
    table.wait_for(state="attached")
    return int(table.get_attribute("aria-rowcount") or 0) - 1


def test_a_dot_lists_its_users_and_a_user_leads_on(page: Page, shop: Shop) -> None:
    visit(page, shop.server, compared(shop, "groups"))
    click_mark(page, ".st-key-differences")
    title = page.locator("p", has_text="Overall: id/sasrec (before) and text-ease (after)")
    expect(title).to_contain_text("missed by both in the first 10")
    assert listed(page, "differences") == int(str(title.text_content()).split("(after) ")[1].split()[0])
    click_cell(page, ".st-key-drill-differences", 0, 0.005)
    page.get_by_role("link", name=re.compile("on Neighbours")).click()
    page.get_by_role("heading", name="Neighbours", level=1).wait_for()
    settled(page)
    addressed(page, "user=")
    page.locator("h3", has_text="User ").first.wait_for()


def test_a_cell_of_the_matrix_lists_its_users(page: Page, shop: Shop) -> None:
    visit(page, shop.server, compared(shop, "groups"))
    click_cell(page, ".st-key-verdicts", 0, 0.4)
    page.get_by_text(re.compile(r": id/sasrec \(before\) and text-ease \(after\)")).wait_for()
    assert 0 < listed(page, "verdicts") <= 200


def test_a_slice_lists_its_users(page: Page, shop: Shop) -> None:
    visit(page, shop.server, compared(shop, "slices") + "&about=text-ease&column=brand")
    click_mark(page, ".st-key-slices")
    page.get_by_text(re.compile(r"^brand: .+ \(before\) and text-ease \(after\)")).wait_for()
    assert 0 < listed(page, "slices") < 200


def test_a_bar_lists_its_users_and_stands_in_the_link(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/datasets?dataset={shop.dataset.id}&look=profile")
    click_mark(page, ".st-key-lengths")
    addressed(page, "mark.lengths=")
    told = page.locator("p", has_text=re.compile(r"^With \d+"))
    said = told.inner_text()
    page.reload()
    expect(told).to_have_text(said)


def test_a_dot_of_a_trade_off_is_in_the_link_until_its_list_is_closed(page: Page, shop: Shop) -> None:
    visit(page, shop.server, compared(shop, "groups"))
    page.wait_for_function("window.history.llmesr")
    visit(page, shop.server, compared(shop, "seesaw"))
    page.wait_for_function("window.history.llmesr")
    before = page.evaluate("history.length")
    click_mark(page, ".st-key-seesaw")
    title = page.get_by_text(re.compile(r"Tail Item: id/sasrec \(before\) and text-ease \(after\)"))
    title.wait_for()
    addressed(page, "mark.seesaw=text-ease")
    users = listed(page, "seesaw")
    page.reload()
    title.wait_for()
    assert listed(page, "seesaw") == users
    page.get_by_text("NDCG", exact=True).first.click()
    addressed(page, "metric=NDCG", "mark.seesaw=text-ease")
    title.wait_for()
    assert page.evaluate("history.length") == before, "Back leaves the page in one press"
    page.get_by_role("button", name="Close", exact=True).click()
    expect(title).to_have_count(0)
    expect(page).not_to_have_url(re.compile("mark.seesaw"))


def test_a_dot_of_the_lists_leads_to_its_items(page: Page, shop: Shop) -> None:
    visit(page, shop.server, compared(shop, "lists"))
    click_mark(page, ".st-key-beyond")
    page.get_by_text(re.compile("First 10 of text-ease, shown most")).wait_for()
    click_cell(page, ".st-key-drill-beyond", 0, 0.005)
    page.get_by_role("link", name=re.compile("Recommend after")).click()
    page.get_by_role("heading", name="Recommend", level=1).wait_for()
    settled(page)
    addressed(page, "source=build", "history=")


def test_a_product_is_tried_and_a_text_edited(page: Page, shop: Shop) -> None:
    visit(page, shop.server, f"/lab?dataset={shop.dataset.id}&lab=new")
    page.get_by_label("Title", exact=True).fill("Gravel bike light, waterproof")
    page.get_by_role("button", name="Try it").click()
    page.get_by_text("Users reached (first 10)").wait_for()
    settled(page)
    page.get_by_role("tab", name="Beside what it stands").click()
    page.locator("canvas table", has_text="Nearest by text").wait_for(state="attached")

    page.get_by_text("Edit a text", exact=True).click()
    settled(page)
    title = page.get_by_label("Title", exact=True)
    before = title.input_value()
    title.fill("Tent for two")
    page.get_by_role("button", name="See what moves").click()
    page.get_by_text("Places gained and lost").wait_for()
    expect(page.get_by_test_id("stMetricValue").first).to_contain_text("→")
    addressed(page, "lab=edit")
    assert before != "Tent for two"

    page.get_by_text("Texts to repair", exact=True).click()
    settled(page)
    said = page.get_by_text(re.compile("No text of this dataset is missing|Missing texts"))
    said.first.wait_for()


def test_overview_follows_a_training(page: Page, shop: Shop) -> None:
    fresh = make_dataset(shop.server.store, name="fresh", users=80, items=40, seed=9)
    job = launch(page, shop.server, fresh.id)
    with paused(shop.server, job):
        visit(page, shop.server, f"/?dataset={fresh.id}")
        page.get_by_text("No run of this dataset has finished yet. In progress:").wait_for()
    page.locator(".st-key-headline .js-plotly-plot .main-svg").first.wait_for()  # without a reload
    expect(page.get_by_text("No run of this dataset has finished yet")).to_have_count(0)


def test_a_blind_vote_hides_its_names_until_asked(page: Page, shop: Shop) -> None:
    store = shop.server.store
    visit(page, shop.server, f"/findings?dataset={shop.dataset.id}&stage=vote")
    page.get_by_role("button", name="Prepare", exact=True).click()
    page.get_by_role("heading", name="Which list would you rather be shown?").wait_for()
    settled(page)
    (vote,) = (Vote(store, m) for m in store.list(KIND))
    addressed(page, f"vote={vote.id}")
    main = page.locator('[data-testid="stMain"]')
    assert not [name for name in vote.labels.values() if name in main.inner_text()]
    for votes in (1, 2):
        page.get_by_role("button", name="A", exact=True).click()
        wait_for(lambda votes=votes: vote.tally().votes == votes, 60)  # type: ignore[misc]
        if votes == 1:
            page.get_by_role("button", name="Next voter").click()
    page.get_by_text("2 votes so far").wait_for()
    page.get_by_text("Reveal").click()
    page.get_by_text("Of 2 votes").wait_for()
    assert all(name in main.inner_text() for name in vote.labels.values())
