"""Every format there is, holding the same interactions, gives the same dataset."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from marketplace import START, csv, finding, put, rows, run

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.data.sources import describe, preview
from llmesr.store import Store

TITLES = {f"i{i}": f'Thing {i}, the "big" one' for i in range(5)}


def _jsonl(records: list[dict[str, Any]], dump: Callable[[dict[str, Any]], str] = json.dumps) -> str:
    return "".join(dump(r) + "\n" for r in records)


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


SHOP = [dict(zip(("user_id", "item_id", "timestamp"), r, strict=True)) for r in rows()]
ITEMS = [{"item_id": i, "title": t} for i, t in TITLES.items()]
TAB = "\t"

FORMATS: dict[str, dict[str, str | bytes]] = {
    "csv": {"shop.csv": csv(rows()), "items.csv": pd.DataFrame(ITEMS).to_csv(index=False)},
    "csv.gz": {"shop.csv.gz": csv(rows()), "items.csv.gz": pd.DataFrame(ITEMS).to_csv(index=False)},
    "csv with an index": {
        "shop.csv": pd.DataFrame(SHOP).to_csv(), "items.csv": pd.DataFrame(ITEMS).to_csv(),
    },
    "tsv": {"shop.tsv": csv(rows(), delimiter=TAB), "items.tsv": pd.DataFrame(ITEMS).to_csv(index=False, sep=TAB)},
    "jsonl": {"shop.jsonl": _jsonl(SHOP), "items.jsonl": _jsonl(ITEMS)},
    "jsonl.gz": {"shop.jsonl.gz": _jsonl(SHOP), "items.jsonl.gz": _jsonl(ITEMS)},
    "json array": {"shop.json": json.dumps(SHOP, indent=1), "items.json": json.dumps(ITEMS)},
    "parquet": {"shop.parquet": _parquet(pd.DataFrame(SHOP)), "items.parquet": _parquet(pd.DataFrame(ITEMS))},
    "recbole atomic": {
        "shop.inter": csv(rows(), "user_id:token,item_id:token,timestamp:float", TAB),
        "shop.item": "item_id:token\titem_title:token_seq\n" + "".join(f"{i}\t{t}\n" for i, t in TITLES.items()),
        "shop.user": "user_id:token\tage:float\nu1\t30\n",
    },
    "amazon 2014": {
        "reviews_Shop_5.json.gz": _jsonl([
            {"reviewerID": u, "asin": i, "overall": 5.0, "unixReviewTime": t, "reviewTime": "07 14, 2017",
             "reviewText": f"I liked the {i}, it does what it says.", "summary": "good"} for u, i, t in rows()
        ]),
        "meta_Shop.json.gz": _jsonl([
            {"asin": i, "title": t, "imUrl": "http://x", "salesRank": {"Shop": 3},
             "categories": [["Shop", "Big"], ["Shop", "Small"]]} for i, t in TITLES.items()
        ], dump=repr),
    },
    "amazon 2023": {
        "Shop.jsonl.gz": _jsonl([
            {"rating": 5.0, "title": "Great", "text": f"I liked the {i}, it does what it says.", "images": [],
             "asin": f"{i}-red", "parent_asin": i, "user_id": u, "timestamp": t * 1000} for u, i, t in rows()
        ]),
        "meta_Shop.jsonl.gz": _jsonl([
            {"title": t, "parent_asin": i, "average_rating": 4.5, "rating_number": 99, "features": ["red", "big"],
             "details": {"Brand": "Acme", "Sizes": ["S", "M"]}, "images": [{"thumb": "x"}]} for i, t in TITLES.items()
        ]),
    },
    "yelp": {
        "yelp_academic_dataset_review.json": _jsonl([
            {"review_id": f"r{n}", "user_id": u, "business_id": i, "stars": 4.0, "text": "Fine place, would go again.",
             "date": str(pd.Timestamp(t, unit="s"))} for n, (u, i, t) in enumerate(rows())
        ]),
        "yelp_academic_dataset_business.json": _jsonl([
            {"business_id": i, "name": t, "city": "Here", "stars": 3.5, "review_count": 7,
             "attributes": {"WiFi": "free"}, "categories": "Cafe, Bar"} for i, t in TITLES.items()
        ]),
        "yelp_academic_dataset_tip.json": _jsonl([{"user_id": "u1", "business_id": "i1", "text": "x", "date": "2020"}]),
    },
    "movielens 1m": {
        "ratings.dat": "".join(f"{u}::{i}::5::{t}\n" for u, i, t in rows()),
        "movies.dat": "".join(f"{i}::{t}::Action|Sci-Fi\n" for i, t in TITLES.items()),
        "users.dat": "u1::F::1::10::48067\n",
    },
    "movielens 32m": {
        "ratings.csv": csv([(u, i, 5.0, t) for u, i, t in rows()], "userId,movieId,rating,timestamp"),
        "movies.csv": pd.DataFrame([{"movieId": i, "title": t, "genres": "Action|Sci-Fi"} for i, t in TITLES.items()]
                                   ).to_csv(index=False),
        "tags.csv": "userId,movieId,tag,timestamp\nu1,i1,fun,1500000000\n",
        "links.csv": "movieId,imdbId,tmdbId\ni1,1,2\n",
    },
}  # fmt: skip


def _folder(store: Store, folder: Path, files: dict[str, str | bytes]) -> Dataset:
    return ingest([put(folder, files)], IngestConfig(name="shop", k_core=1), store)


def _facts(dataset: Dataset) -> tuple[Any, ...]:
    times = None if dataset.timestamps is None else dataset.timestamps.tolist()
    return (
        dataset.user_ids.tolist(), dataset.items.tolist(), dataset.offsets.tolist(), times,
        dataset.catalogue[["item_id", "title"]].to_numpy().tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_dataset(form: str, store: Store, tmp_path: Path) -> None:
    dataset = _folder(store, tmp_path / "in", FORMATS[form])
    users, items, offsets, times, catalogue = _facts(dataset)
    assert users == [f"u{n}" for n in range(8)]
    assert [catalogue[i - 1][0] for i in items] == [r[1] for r in rows()]
    assert times == [r[2] for r in rows()]
    assert offsets == list(range(0, 33, 4))
    assert sorted(map(tuple, catalogue)) == sorted(TITLES.items())


def test_movielens_100k_flags_become_genres_and_latin_1_is_read(store: Store, tmp_path: Path) -> None:
    flags = ["0|1|" + "0|" * 3 + "1|" + "0|" * 12 + "0", "|".join(["0"] * 19)]
    movies = "".join(f"i{n}|Caf\u00e9 {n} (1995)|01-Jan-1995||http://x|{flags[n % 2]}\n" for n in range(5))
    files: dict[str, str | bytes] = {
        "u.data": csv([(u, i, 3, t) for u, i, t in rows()], header="", delimiter="\t"),
        "u.item": movies.encode("latin-1"),
        "u.user": "".join(f"u{n}|2{n}|M|technician|85711\n" for n in range(8)),
    }
    dataset = _folder(store, tmp_path / "in", files)
    assert dataset.user_attributes is not None
    assert dataset.user_attributes.iloc[dataset.user("u3")].tolist() == ["u3", 23, "M", "technician", 85711]
    row = dataset.catalogue.iloc[dataset.item("i0") - 1]
    assert (row["title"], row["genres"]) == ("Café 0 (1995)", "Action; Comedy")
    assert dataset.catalogue.iloc[dataset.item("i1") - 1]["genres"] == ""
    assert finding(dataset, "encoding")["count"] == 5


def test_inter_txt_of_the_authors(store: Store, tmp_path: Path) -> None:
    text = "".join(f"{u[1:]} {i[1:]}\n" for u, i, _ in rows())
    dataset = _folder(store, tmp_path / "in", {"inter.txt": text})
    assert dataset.timestamps is None
    assert dataset.manifest.info["time"] == "file order"
    assert dataset.catalogue["item_id"].tolist() == ["0", "1", "2", "3", "4"]
    assert dataset.history(1).tolist() == [2, 3, 4, 5]


def test_amazon_text_is_flattened_and_counts_of_the_whole_data_are_left_out(store: Store, tmp_path: Path) -> None:
    old = _folder(store, tmp_path / "a", FORMATS["amazon 2014"])
    assert old.catalogue.columns.tolist() == ["item_id", "title", "categories"]
    assert set(old.catalogue["categories"]) == {"Shop; Big; Small"}
    new = _folder(store, tmp_path / "b", FORMATS["amazon 2023"])
    assert new.catalogue.columns.tolist() == ["item_id", "title", "features", "details"]
    assert new.catalogue.iloc[0].tolist()[2:] == ["red; big", "Brand: Acme; Sizes: S, M"]
    assert "rating_number" in finding(new, "left_out_columns")["examples"]


def test_a_broken_python_literal_is_rejected_by_its_line(store: Store, tmp_path: Path) -> None:
    lines = [repr({"asin": i, "title": t}) for i, t in TITLES.items()]
    reviews = [repr({"reviewerID": u, "asin": i, "unixReviewTime": t}) for u, i, t in rows()]
    reviews[6] = "{'reviewerID': __import__('os').getcwd(), 'asin': 'i1', 'unixReviewTime': 1500000000}"
    files: dict[str, str | bytes] = {"reviews.json": "\n".join(reviews), "meta.json": "\n".join(lines)}
    dataset = run(store, tmp_path / "in", files)
    assert finding(dataset, "rejected")["examples"][0].startswith("reviews.json line 7: {'reviewerID': __import__")


def test_titles_inside_the_interactions_are_the_catalogue(store: Store, tmp_path: Path) -> None:
    table = [(u, i, t, TITLES[i].replace('"', "").replace(",", ""), "Toys") for u, i, t in rows()]
    text = csv(table, "user_id,item_id,timestamp,product_name,category")
    dataset = run(store, tmp_path / "in", {"orders.csv": text})
    assert dataset.catalogue.columns.tolist() == ["item_id", "title", "category"]
    assert dataset.catalogue.iloc[0].tolist() == ["i0", "Thing 0 the big one", "Toys"]


def test_items_inside_the_interactions_are_known_by_the_column_that_was_chosen(store: Store, tmp_path: Path) -> None:
    """As in the files of Last.fm: the ids of tracks are mostly missing, so that artists are the items."""
    table = csv([(u, t, f"artist-{i}", f"Band {i}", "" if n % 3 else f"track-{n}", "Song") for n, (u, i, t) in
                 enumerate(rows())],
                "userid,timestamp,musicbrainz-artist-id,artist-name,musicbrainz-track-id,track-name")  # fmt: skip
    dataset = run(store, tmp_path / "in", {"plays.csv": table})
    assert set(dataset.catalogue["item_id"]) == {f"artist-i{n}" for n in range(5)}
    assert dataset.manifest.info["items_without_text"] == 0


def test_only_training_reviews_are_kept(store: Store, tmp_path: Path) -> None:
    table = [(u, i, t, f"review of {i} by {u} number {n} is here") for n, (u, i, t) in enumerate(rows())]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(table, "user_id,item_id,timestamp,review_text")})
    kept = pd.read_parquet(store.path("datasets", dataset.id) / "reviews.parquet")
    text = " ".join(kept["text"])
    for user in range(dataset.n_users):
        first = dataset.offsets[user]
        for step in range(4):
            written = f"review of {dataset.catalogue['item_id'][dataset.items[first + step] - 1]} by u{user} "
            assert (written in text) == (step < 2), written
    assert kept["item"].between(1, dataset.n_items).all()


@pytest.mark.parametrize(
    ("file", "content", "role", "mapping"),
    [
        ("a.csv", "User ID,Product,Event Time\n1,2,2020-01-01\n", "interactions", ["User ID", "Product", "Event Time"]),
        ("a.csv", "wer,was,wann\n17,ab,2020-01-01\n18,cd,2020-01-02\n", "interactions", ["wer", "was", "wann"]),
        ("a.csv", "id,name\n1,Thing\n", "items", [None, "id", None]),
        ("a.csv", "x,y\n0.5,0.25\n", "interactions", ["x", "y", None]),
    ],
)
def test_preview_guesses(file: str, content: str, role: str, mapping: list[str | None], tmp_path: Path) -> None:
    put(tmp_path, {file: content})
    seen = preview(tmp_path / file)
    assert seen.role == role
    found = [seen.mapping[f].column if f in seen.mapping else None for f in ("user_id", "item_id", "timestamp")]
    assert found == mapping
    assert seen.rows.map(lambda v: isinstance(v, str)).all().all()


def test_weak_guesses_are_proposed_but_not_acted_on(store: Store, tmp_path: Path) -> None:
    content = csv([(u, i, pd.Timestamp(t, unit="s")) for u, i, t in rows()], "wer,was,wann")
    put(tmp_path, {"shop.csv": content})
    assert preview(tmp_path / "shop.csv").mapping["user_id"].confidence < 0.5
    dataset = run(store, tmp_path / "in", {"shop.csv": content}, columns={"user_id": "wer", "item_id": "was"})
    assert dataset.timestamps is not None
    assert dataset.timestamps[0] == START


def test_describe_reads_only_the_beginning(tmp_path: Path) -> None:
    put(tmp_path, {"big.csv": csv(rows()) + "x" * 50_000_000})
    assert len(describe(tmp_path / "big.csv").sample) == 32
