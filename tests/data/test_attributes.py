"""What is read about an item: words, and not what was counted afterwards, links, vectors or ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from marketplace import csv, finding, rows, run

from llmesr.data.attributes import COUNTED, ID, LINK, VECTOR, why_left_out
from llmesr.data.sources import describe
from llmesr.store import Store

COLUMNS: dict[str, tuple[list[Any], str]] = {
    "vote_count": ([5, 70, 900], COUNTED),
    "ratings_count": ([1, 2, 3], COUNTED),
    "voteAverage": (["7.5", "6.1", "9"], COUNTED),
    "numreviews": ([3, 4, 5], COUNTED),
    "average_playtime": ([3, 4, 5], COUNTED),
    "popularity_score": (["0.3", "0.2", "0.1"], COUNTED),
    "positive_ratings": ([3, 4, 5], COUNTED),
    "units_sold": ([3, 4, 5], COUNTED),
    "bestsellers_rank": (["#3 in Books", "#12 in Toys", "#1,204 in Toys"], COUNTED),
    "owners": (["20,000 .. 50,000", "0 .. 20,000", "1,000,000 .. 2,000,000"], COUNTED),
    "helpful": (["3/4", "0/0", "12 of 15"], COUNTED),
    "installs": (["500+", "1.2M", "10k"], COUNTED),
    "stars": (["4.5 out of 5", "3 stars", "5"], COUNTED),
    "click_through_rate": (["0.01", "3%", "0.2"], COUNTED),
    "users_rated": ([3, 4, 5], COUNTED),
    "last_sold": (["2021-05-01", "2021-05-02", "2021-06-02"], COUNTED),
    "trending": (["true", "false", "false"], COUNTED),
    "age_rating": (["12+", "16", "18"], ""),
    "best_for": (["3 in a row", "2 to 4 players", "families"], ""),
    "homepage": (["http://a.org/x", "https://b.org", "//c.org"], LINK),
    "poster_path": (["/abc.jpg", "/def.png", "/x.webp"], LINK),
    "pictures": (['["https://a.org/1"]', '["https://a.org/2"]', '["https://a.org/3"]'], LINK),
    "emb": (["0.1 0.2 0.3 0.4"] * 3, VECTOR),
    "features_vec": (["[0.5, -0.25, 1e-3, 2.5]"] * 3, VECTOR),
    "imdb_id": (["tt0114709", "tt0113497", "tt0113228"], ID),
    "tmdbId": ([862, 8844, 15602], ID),
    "brand_uuid": (["8f14e45f-ea1b", "c9f0f895-fb98", "45c48cce-2e2d"], ID),
    "genre": (["Drama", "Action", "Comedy"], ""),
    "price": (["1.5", "2", "9.99"], ""),
    "year": ([1995, 1996, 1997], ""),
    "page_count": ([300, 200, 100], ""),
    "content_rating": (["PG-13", "R", "G"], ""),
    "sizes": (["S, M", "L", "XL"], ""),
    "model": (["A4", "A5", "B2"], ""),
    "released": (["2020-01-01", "2020-01-02", "2021-01-02"], ""),
    "runtime": ([90, 100, 120], ""),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_why_a_column_is_left_out(column: str, tmp_path: Path) -> None:
    values, reason = COLUMNS[column]
    (tmp_path / "items.tsv").write_text(csv([(f"i{n}", v) for n, v in enumerate(values)], f"item_id,{column}", "\t"))
    assert why_left_out(describe(tmp_path / "items.tsv"), column) == reason


def _shop() -> dict[str, str | bytes]:
    names = "item_id,title,genre,vote_count,link,price"
    items = csv([(f"i{n}", f"Thing {n}", "Toys", 9 * n, f"http://x/{n}", "-") for n in range(5)], names)
    return {"shop.csv": csv(rows()), "items.csv": items}


def test_left_out_columns_are_listed(store: Store, tmp_path: Path) -> None:
    dataset = run(store, tmp_path / "in", _shop())
    assert dataset.catalogue.columns.tolist() == ["item_id", "title", "genre"]  # a lone "-" says nothing
    message = finding(dataset, "left_out_columns")["message"]
    assert "vote_count (counted or scored over the whole data)" in message
    assert "link (links)" in message
    assert "--item-column NAME=COLUMN" in message


def test_a_person_takes_columns_in_and_out(store: Store, tmp_path: Path) -> None:
    chosen = {"votes": "vote_count", "genre": ""}
    dataset = run(store, tmp_path / "in", _shop(), item_columns=chosen)
    assert dataset.catalogue.columns.tolist() == ["item_id", "title", "votes"]
    assert dataset.catalogue["votes"].tolist() == ["0", "9", "18", "27", "36"]


def test_the_types_of_recbole_files_count(store: Store, tmp_path: Path) -> None:
    items = "item_id:token\ttitle:token_seq\temb:float_seq\tyear:float\n"
    items += "".join(f"i{n}\tThing {n}\t1 2\t199{n}\n" for n in range(5))
    inter = csv(rows(), "user_id:token,item_id:token,timestamp:float", "\t")
    dataset = run(store, tmp_path / "in", {"s.inter": inter, "s.item": items})
    assert dataset.catalogue.columns.tolist() == ["item_id", "title", "year"]
