"""What the app claims, as a visitor meets it: guard and remedies, the matrix of verdicts, one head/tail definition for
all pages, links that carry it, and a statement that opens offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.browsing import Server, addressed, serving, settled, visit, wait_for
from factories import make_dataset, make_run, make_standard_runs
from playwright.sync_api import Browser, Page, expect

from llmesr.config import SplitConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.splitting import resplit
from llmesr.jobs.queue import Jobs
from llmesr.runs.record import Run
from llmesr.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

Shop = tuple[Server, Dataset, Dataset]
PAIR = "compare=id/sasrec&compare=llm-esr/sasrec&against=id/sasrec"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The app over a shop under two splits; its llm-esr was still improving when its training ended."""
    root = tmp_path_factory.mktemp("claims")
    store = Store(root)
    dataset = make_dataset(store, users=200, items=60)
    for run in make_standard_runs(store, dataset, seeds=(42, 43, 44))["llm-esr/sasrec"]:
        run.finish(run.status(), {}, {"best_epoch": 12, "epochs": 12})
    later = resplit(dataset, SplitConfig(kind="temporal", valid_from=0.5, test_from=0.7), store)
    for method, skill in (("popularity", 3.0), ("id", -2.0)):
        make_run(store, later, method, head_skill=skill, tail_skill=skill)
    with serving(store, root / "server.log") as server:
        yield server, dataset, later


def first_table(page: Page) -> str:
    """What the first table of the page says, as a screen reader is told it."""
    page.locator('[data-testid="stDataFrame"]').first.scroll_into_view_if_needed()  # it is drawn once it is seen
    table = page.locator('[data-testid="stDataFrame"] canvas table').first
    table.wait_for(state="attached")
    return table.text_content() or ""


def test_the_guard_stands_above_the_numbers_and_its_remedy_is_a_click(page: Page, shop: Shop) -> None:
    server, dataset, _ = shop
    visit(page, server, f"/compare?dataset={dataset.id}&{PAIR}")
    page.get_by_text("Not settled yet").first.wait_for()
    matrix = first_table(page)
    for group in ("Overall", "Tail Item", "Head Item", "Tail User", "Head User"):
        assert group in matrix
    assert "better" not in matrix
    page.get_by_role("button", name="Train llm-esr/sasrec to convergence").click()
    (job,) = wait_for(lambda: [j for j in Jobs(server.store).list() if j.kind == "remedy"], 60)
    assert [s.verb for s in job.record.steps] == ["train"] * 3
    Jobs(server.store).stop(job.id, force=True)


def test_one_definition_of_the_tail_holds_on_every_page_and_in_the_link(page: Page, shop: Shop) -> None:
    server, dataset, _ = shop
    tail = dataset.thresholds.item
    visit(page, server, f"/compare?dataset={dataset.id}&{PAIR}&tail_item={tail + 3}")
    page.get_by_text(f"fewer than {tail + 3} training interactions").first.wait_for()
    slider = page.locator(".st-key-tail_item").get_by_role("slider")
    low, high, at = slider.evaluate(
        "e => ['min', 'max', 'now'].map(n => +(e.getAttribute('aria-value' + n) ?? (n === 'now' ? e.value : e[n])))"
    )
    assert at == tail + 3
    assert (at - low) / (high - low) > 0.1, "the definition is not pressed against the edge of its scale"
    for name in ("Overview", "Story", "Neighbours"):
        page.get_by_role("link", name=name, exact=True).first.click()
        settled(page)
        page.get_by_text(f"ewer than {tail + 3} training interactions").first.wait_for()
        addressed(page, f"tail_item={tail + 3}")
    page.get_by_role("button", name="Save with the dataset").click()
    wait_for(lambda: load_dataset(server.store, dataset.id).thresholds.item == tail + 3, 60)


def test_headlines_follow_items_and_users(page: Page, shop: Shop) -> None:
    server, dataset, _ = shop
    visit(page, server, f"/?dataset={dataset.id}")
    words = page.locator(".st-key-headline-words")
    expect(words).to_contain_text("when that item is popular")
    page.get_by_text("Users by history length").click()
    settled(page)
    expect(words).to_contain_text("with a long history")
    addressed(page, "by=User")


def test_a_link_opens_the_splits_side_by_side(page: Page, shop: Shop) -> None:
    server, dataset, later = shop
    visit(page, server, f"/compare?dataset={dataset.id}&view=splits&among=Overall")
    page.get_by_text("Too little data to compare the orders").first.wait_for()
    page.wait_for_selector(".st-key-splits .js-plotly-plot .main-svg")
    drawn = page.locator(".st-key-splits .js-plotly-plot").text_content() or ""
    assert "leave-one-out" in drawn
    assert later.split_config.brief() in drawn


def test_a_claim_becomes_a_statement_that_opens_offline(
    page: Page, shop: Shop, chromium: Browser, tmp_path: Path
) -> None:
    server, dataset, _ = shop
    visit(page, server, f"/compare?dataset={dataset.id}&{PAIR}&view=defend&claim=llm-esr/sasrec")
    page.get_by_text(re.compile("^It lacks")).wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the statement (HTML)").click()
    file = tmp_path / "claim.html"
    waiting.value.save_as(file)
    context = chromium.new_context(offline=True)
    reader, asked = context.new_page(), []
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(file.as_uri())
    assert reader.locator("h1").inner_text() == "llm-esr/sasrec against id/sasrec"
    assert reader.locator("svg circle").count() >= 5
    assert "What stands against it" in reader.locator("body").inner_text()
    assert "Not settled." in reader.locator("p.doubt").inner_text()
    assert [url for url in asked if not url.startswith("file:")] == []
    context.close()

    before = {j.id for j in Jobs(server.store).list()}
    page.get_by_role("button", name="Defend this claim").last.click()
    (job,) = wait_for(lambda: [j for j in Jobs(server.store).list() if j.id not in before], 60)
    assert job.label == "Defend llm-esr/sasrec against id/sasrec"
    made = {s.run for s in job.record.steps if s.verb == "train"}
    assert not {r for r in made if r and Run(server.store, r).status().state == "SUCCEEDED"}
    Jobs(server.store).stop(job.id, force=True)
