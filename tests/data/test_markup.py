"""Titles out of web shops."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketplace import csv, finding, rows, run

from llmesr.data.markup import title_of
from llmesr.store import Store

TITLES = {
    "<b>Puppe</b> klassisch &amp; mehr<br/>63 cm": "Puppe klassisch & mehr 63 cm",
    "Caf&eacute;": "Café",
    "R&D for all": "R&D for all",
    "I <3 you": "I <3 you",
    "3 < 4 > 2": "3 < 4 > 2",
    "<Untitled>": "<Untitled>",
    "C++ <vector> in depth": "C++ <vector> in depth",
    "Monsters, Inc.": "Monsters, Inc.",
    "n/a": "",
    "N/A": "",
    "Unbekannt": "",
    "unknown": "",
    "Unknown Pleasures": "Unknown Pleasures",
}


@pytest.mark.parametrize("written", TITLES)
def test_a_title_is_what_people_read(written: str) -> None:
    assert title_of(written) == TITLES[written]


def test_titles_are_mended_at_the_import_and_counted(store: Store, tmp_path: Path) -> None:
    titles = {"i0": "<b>Doll</b> &amp; more", "i1": "n/a", "i2": "unknown", "i3": "Plain", "i4": "<i>Lamp</i>"}
    items = "item_id,title,brand\n" + "".join(f"{item},{title},x\n" for item, title in titles.items())
    dataset = run(store, tmp_path / "in", {"x.csv": csv(rows()), "items.csv": items})
    found = dict(zip(dataset.catalogue["item_id"], dataset.catalogue["title"], strict=True))
    assert found == {"i0": "Doll & more", "i1": "i1", "i2": "i2", "i3": "Plain", "i4": "Lamp"}
    assert finding(dataset, "title_markup")["count"] == 2
    assert finding(dataset, "no_titles")["examples"] == ["n/a", "unknown"]
    assert finding(dataset, "items_without_title")["count"] == 2


def test_ids_keep_what_looks_like_markup_or_like_nothing(store: Store, tmp_path: Path) -> None:
    ids = {"i0": "<b>a</b>", "i1": "a&amp;b", "i2": "unknown", "i3": "unbekannt", "i4": "k.a."}
    chosen = [(user, ids[item], when) for user, item, when in rows()]
    dataset = run(store, tmp_path / "in", {"x.csv": csv(chosen)})
    assert sorted(dataset.catalogue["item_id"]) == sorted(ids.values())
    assert sorted(dataset.catalogue["title"]) == sorted(ids.values())
