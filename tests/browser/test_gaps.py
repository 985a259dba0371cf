"""Who is served best and worst, from a file of users to the users of a segment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser.browsing import Server, addressed, click_cell, click_mark, serving, settled, visit
from playwright.sync_api import Page, expect

import llmesr
from llmesr.config import RunConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.store import Store
from llmesr.training.train import train

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

Shop = tuple[Server, Dataset]


def write_files(folder: Path) -> list[Path]:
    """Interactions, items and users.csv: users whose last item is popular live in the north, ages know of nothing."""
    interactions, items = synthetic.frames(400, 60, seed=3)
    last = interactions.sort_values("timestamp", kind="stable").drop_duplicates("user_id", keep="last")
    chosen = last["item_id"].map(interactions["item_id"].value_counts())
    bands = np.random.default_rng(0).choice(["18-34", "35-54", "55+"], len(last))
    region = np.where(chosen >= chosen.median(), "north", "south")
    users = pd.DataFrame({"user_id": last["user_id"], "region": region, "age band": bands})
    frames = {"interactions": interactions, "items": items, "users": users}
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return [folder / f"{name}.csv" for name in frames]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("fairness")
    store = Store(root / "artifacts")
    orders, items, users = write_files(root)
    dataset = llmesr.ingest(orders, items, users=users, name="shop", store=store)
    for method in ("popularity", "ease"):
        train(dataset, RunConfig(method=method), store, device="cpu")
    with serving(store, root / "server.log") as server:
        yield server, dataset


def test_a_segment_lists_its_users_and_one_of_them_leads_on(page: Page, shop: Shop) -> None:
    server, dataset = shop
    pair = "compare=popularity&compare=ease&against=popularity&about=popularity"
    visit(page, server, f"/compare?dataset={dataset.id}&view=slices&{pair}")
    page.get_by_text("Fairness: who is served best and worst").click()
    settled(page)
    addressed(page, "open=fairness")
    said = page.locator("p", has_text=re.compile("^By .+, popularity serves .+ best")).first
    expect(said).to_contain_text("By region, popularity serves north best")
    expect(said).to_contain_text("and south worst")
    expect(said).not_to_contain_text("within chance")

    click_mark(page, ".st-key-gaps")  # the worst served segment of the first column
    title = page.locator("p", has_text="region: south: popularity (before) and ease (after)")
    title.wait_for()
    known = dataset.user_attributes
    assert known is not None
    asked = dataset.user_ids[dataset.split.users("test")].astype(str)
    south = set(known["user_id"][known["region"] == "south"].astype(str)) & set(asked)
    expect(title).to_contain_text(f"{len(south)} users")
    addressed(page, "mark.gaps=")
    page.reload()
    expect(title).to_contain_text(f"{len(south)} users")

    click_cell(page, ".st-key-drill-gaps", 0, 0.005)
    page.get_by_role("link", name=re.compile("on Neighbours")).click()
    page.get_by_role("heading", name="Neighbours", level=1).wait_for()
    settled(page)
    user = re.search(r"[?&]user=([^&]+)", page.url)
    assert user is not None
    assert user.group(1) in south
