"""What is wrong with a file is said in one sentence, or handled as stated; nothing half-written stays."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marketplace import START, csv, finding, items_csv, nothing_left, put, rows, run

from llmesr.config import IngestConfig
from llmesr.data.ingest import ingest
from llmesr.errors import UserError
from llmesr.store import Store

GOOD = csv(rows())


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("shop.csv", GOOD)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as bundle:
        entry = tarfile.TarInfo("shop.csv")
        entry.size = len(GOOD)
        bundle.addfile(entry, io.BytesIO(GOOD.encode()))
    return buffer.getvalue()


def _parquet(frame: pd.DataFrame | pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame), buffer)
    return buffer.getvalue()


def _bomb() -> bytes:
    head = b"user_id,item_id,timestamp\n"
    return gzip.compress(head + b"u1,i1,1500000000\n" * 6_000_000, compresslevel=9)


def _nested_ids() -> bytes:
    return _parquet(pa.table({"user_id": [["a"], ["b"]], "item_id": ["x", "y"], "timestamp": [START, START]}))


FRAME = pd.DataFrame(rows(), columns=["user_id", "item_id", "timestamp"])

# name: (files, settings, what the sentence must hold)
REFUSED: dict[str, tuple[dict[str, str | bytes], dict[str, Any], list[str]]] = {
    "empty file": ({"shop.csv": ""}, {}, ["shop.csv", "empty"]),
    "only blank lines": ({"shop.csv": "\n\n  \n"}, {}, ["shop.csv", "empty"]),
    "header only": ({"shop.csv": "user_id,item_id,timestamp\n"}, {}, ["shop.csv", "no rows"]),
    "one column": ({"shop.csv": "user-item\nu1-i1\nu2-i2\n"}, {}, ["shop.csv", "only one column", "comma"]),
    "no item column": ({"shop.csv": csv([("u1", 4.0), ("u2", 5.0)], "user_id,rating")}, {}, ["shop.csv", "item_id"]),
    "columns not understood": ({"shop.csv": GOOD.replace("user_id,item_id", "a,b")}, {}, ["'a'", "--column user_id"]),
    "given column absent": ({"shop.csv": GOOD}, {"columns": {"user_id": "wer"}}, ["shop.csv", "'wer'", "'item_id'"]),
    "unknown field": ({"shop.csv": GOOD}, {"columns": {"who": "user_id"}}, ["'who'", "timestamp"]),
    "times that are words": ({"shop.csv": csv([(u, i, "soon") for u, i, _ in rows()])}, {}, ["'timestamp'", "'soon'"]),
    "times all missing": ({"shop.csv": csv([(u, i, "") for u, i, _ in rows()])}, {}, ["'timestamp'", "no times"]),
    "half of the times unreadable": (
        {"shop.csv": csv([(u, i, t if n % 3 else "??") for n, (u, i, t) in enumerate(rows())])},
        {},
        ["unreadable time", "line 2", "max_rejected"],
    ),
    "most ids missing": (
        {"shop.csv": csv([("" if n % 2 else u, i, t) for n, (u, i, t) in enumerate(rows())])},
        {},
        ["no user id", "line 3"],
    ),
    "all in the future": (
        {"shop.csv": csv([(u, i, int(time.time()) + 10**8) for u, i, _ in rows()])},
        {},
        ["time in the future"],
    ),
    "one user": ({"shop.csv": csv([("u1", f"i{n}", START + n) for n in range(9)])}, {}, ["1 user", "'user_id'"]),
    "one item": ({"shop.csv": csv([(f"u{n}", "i1", START + n) for n in range(9)])}, {}, ["1 item", "'item_id'"]),
    "nobody with three": ({"shop.csv": csv(rows(each=2))}, {}, ["three interactions"]),
    "nothing after the core": ({"shop.csv": GOOD}, {"k_core": 50}, ["50-core", "--k-core"]),
    "weight wanted but absent": ({"shop.csv": GOOD}, {"min_weight": 4}, ["min_weight", "shop.csv", "--column weight"]),
    "nothing weighs enough": (
        {"shop.csv": csv([(*r, 1) for r in rows()], "user_id,item_id,timestamp,rating")},
        {"min_weight": 4},
        ["no usable interactions", "min_weight"],
    ),
    "truncated gzip": ({"shop.csv.gz": gzip.compress(GOOD.encode() * 50)[:-40]}, {}, ["shop.csv.gz", "truncated"]),
    "gzip in gzip": ({"shop.csv.gz": gzip.compress(gzip.compress(GOOD.encode()))}, {}, ["compressed twice"]),
    "gzip bomb": ({"shop.csv.gz": _bomb()}, {}, ["shop.csv.gz", "100 times", "refused"]),
    "zip archive": ({"shop.csv": _zip()}, {}, ["shop.csv", "ZIP", "unpack"]),
    "tar inside gzip": ({"shop.csv.gz": gzip.compress(_tar())}, {}, ["tar archive"]),
    "pickle": ({"shop.csv": pickle.dumps(rows(), 4)}, {}, ["pickle", "convert --trust"]),
    "image": ({"shop.csv": b"\x89PNG\r\n\x1a\n" + bytes(100)}, {}, ["PNG"]),
    "pdf": ({"shop.csv": b"%PDF-1.7\nhello"}, {}, ["PDF"]),
    "zero bytes": ({"shop.csv": GOOD.encode() + b"\0\0\0"}, {}, ["not text"]),
    "json that is none": ({"shop.jsonl": "{user: 1}\n{user: 2}\n"}, {}, ["shop.jsonl", "JSON"]),
    "json array of numbers": ({"shop.json": "[1, 2, 3]"}, {}, ["shop.json", "JSON objects"]),
    "damaged parquet": ({"shop.parquet": b"PAR1" + b"\x01" * 200}, {}, ["shop.parquet", "damaged Parquet"]),
    "parquet without rows": ({"shop.parquet": _parquet(FRAME.head(0))}, {}, ["shop.parquet", "no rows"]),
    "parquet ids nested": ({"shop.parquet": _nested_ids()}, {}, ["shop.parquet", "'user_id'", "nested"]),
    "parquet ids fractions": (
        {"shop.parquet": _parquet(FRAME.assign(item_id=[n % 5 + 0.5 for n in range(len(FRAME))]))},
        {},
        ["fraction"],
    ),
    "two kinds of interactions": (
        {"shop.csv": GOOD, "tags.csv": csv([(*r, "fun") for r in rows()], "user_id,item_id,timestamp,tag")},
        {},
        ["shop.csv", "tags.csv", "different columns"],
    ),
    "only items": ({"items.csv": items_csv()}, {}, ["items.csv", "user_id"]),
    "item file full of stray commas": (
        {
            "shop.csv": GOOD,
            "items.csv": "item_id,title\n"
            + "".join(f"i{i},Thing {i}, red\n" for i in range(2, 5))
            + "i0,Thing 0\ni1,Thing 1\n",
        },
        {},
        ["3 of 5 lines of items.csv", "line 2", "too many columns"],
    ),
    "items of another shop": (
        {"shop.csv": GOOD, "items.csv": "item_id,title\nx1,Thing\nx2,Other\n"},
        {},
        ["'i0'", "'x1'", "same ids"],
    ),
    "item column absent": (
        {"shop.csv": GOOD, "items.csv": items_csv()},
        {"item_columns": {"title": "label"}},
        ["items.csv", "'label'", "'brand'"],
    ),
    "path in the name": ({"shop.csv": GOOD}, {"name": "../../etc/shop"}, ["dataset name"]),
    "ragged lines": (
        {"shop.csv": csv([(*r, "more") if n % 4 == 0 else r for n, r in enumerate(rows())])},
        {},
        ["too many columns", "line 2"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_sentence_and_nothing_left(case: str, store: Store, tmp_path: Path) -> None:
    files, settings, words = REFUSED[case]
    with pytest.raises(UserError) as caught:
        run(store, tmp_path / "in", files, **settings)
    message = str(caught.value)
    assert [w for w in words if w.lower() not in message.lower()] == [], message
    assert "\n" not in message
    assert len(message) < 600
    assert nothing_left(store)


def test_missing_file_and_empty_folder(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file or folder"):
        ingest([tmp_path / "nowhere.csv"], IngestConfig(name="shop"), store)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="holds no data files"):
        ingest([tmp_path / "folder"], IngestConfig(name="shop"), store)
    assert nothing_left(store)


# handled as stated: files, settings, the finding's code, its count
HANDLED: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str, int]] = {
    "semicolons": ({"shop.csv": csv(rows(), delimiter=";")}, {}, "columns", 0),
    "tabs in a .csv": ({"shop.csv": csv(rows(), delimiter="\t")}, {}, "columns", 0),
    "byte order mark": ({"shop.csv": b"\xef\xbb\xbf" + GOOD.encode()}, {}, "columns", 0),
    "utf-16": ({"shop.csv": GOOD.encode("utf-16")}, {}, "columns", 0),
    "carriage returns": ({"shop.csv": GOOD.replace("\n", "\r\n")}, {}, "columns", 0),
    "mixed encodings": (
        {"shop.csv": GOOD, "items.csv": b"item_id,title\n" + b"".join(
            f"i{i},Caf\u00e9 {i}\n".encode("cp1252" if i < 2 else "utf-8") for i in range(5))},
        {},
        "encoding",
        2,
    ),
    "a few bad times": (
        {"shop.csv": GOOD + "u1,i4,yesterday\n"}, {}, "rejected", 1,
    ),
    "negative times": ({"shop.csv": GOOD + "u1,i4,-5\n"}, {}, "rejected", 1),
    "missing ids": ({"shop.csv": csv(rows(40)) + ",i1,1500000000\nu1,NaN,1500000000\n"}, {}, "rejected", 1),
    "no time column": ({"shop.csv": csv([r[:2] for r in rows()], "user_id,item_id")}, {}, "no_time", 0),
    "order instead of time": ({"shop.csv": csv([(u, i, t % 1000) for u, i, t in rows()])}, {}, "order_only", 0),
    "ties": ({"shop.csv": csv([(u, i, START) for u, i, _ in rows()])}, {}, "ties", 24),
    "exact duplicates": ({"shop.csv": csv(rows() + rows()[:3])}, {}, "duplicates", 3),
    "repeats": ({"shop.csv": csv([*rows(), ("u1", "i1", START + 9999)])}, {}, "repeats", 1),
    "short users": ({"shop.csv": csv([*rows(), ("u9", "i1", START), ("u9", "i2", START + 1)])}, {}, "short_users", 1),
    "duplicate item ids": (
        {"shop.csv": GOOD, "items.csv": items_csv() + "i0,Again,X\n"}, {}, "duplicate_items", 1,
    ),
    "items without id": ({"shop.csv": GOOD, "items.csv": items_csv() + ",Nobody,X\n"}, {}, "items_without_id", 1),
    "a stray comma in the item file": (
        {"shop.csv": GOOD, "items.csv": items_csv(40) + "i4,Thing,4,red\n"}, {}, "rejected_items", 1,
    ),
    "items missing from the file": (
        {"shop.csv": GOOD, "items.csv": items_csv(3)}, {}, "missing_in_catalogue", 2,
    ),
    "no item has text": (
        {"shop.csv": GOOD, "items.csv": "item_id,title\n" + "".join(f"i{i},\n" for i in range(5))},
        {},
        "items_without_text",
        5,
    ),
    "items without a title": (
        {"shop.csv": GOOD, "items.csv": "item_id,title,brand\ni0,,Kelp\ni1,,Kelp\ni2,,\ni3,Lamp,\ni4,Tent,Kelp\n"},
        {},
        "items_without_title",
        2,
    ),
    "no item file": ({"shop.csv": GOOD}, {}, "no_items_file", 0),
    "giant cell": (
        {"shop.csv": GOOD, "items.csv": items_csv(4) + f"i4,Big,{'x' * 3_000_000}\n"}, {}, "long_text", 1,
    ),
    "days or months first": (
        {"shop.csv": csv([(u, i, f"0{1 + n % 9}/0{1 + n % 7}/2020") for n, (u, i, _) in enumerate(rows())])},
        {},
        "ambiguous_dates",
        0,
    ),
    "broken json line": (
        {"shop.jsonl": "".join(json.dumps(dict(zip(("user", "item", "ts"), r, strict=True))) + "\n" for r in rows(30))
         + "{\"user\": \"u1\", \"item\n"},
        {},
        "rejected",
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HANDLED)
def test_handled_and_counted(case: str, store: Store, tmp_path: Path) -> None:
    files, settings, code, count = HANDLED[case]
    dataset = run(store, tmp_path / "in", files, **{"repeats": "keep", **settings})
    assert finding(dataset, code)["count"] == count
    assert dataset.n_users >= 8
    assert dataset.n_items == 5


def test_what_is_said_of_one_is_said_of_one(store: Store, tmp_path: Path) -> None:
    items = "item_id,title,brand\ni0,,Kelp\ni1,,\ni2,Sea,\ni3,Lamp,\ni4,Tent,Kelp\ni4,Tent,Kelp\n"
    files: dict[str, str | bytes] = {"shop.csv": csv([*rows(), rows()[0], ("u9", "i1", START)]), "items.csv": items}
    dataset = run(store, tmp_path / "in", files)
    assert {code: finding(dataset, code)["message"] for code in ONE} == ONE


ONE = {
    "duplicates": "1 interaction repeats the user, item and time of another and is dropped.",
    "short_users": "1 user with fewer than 3 interactions is used for training only.",
    "duplicate_items": "1 item row repeats an item id; the first row of each is used.",
    "items_without_text": "1 item has no text; its title is its id.",
    "items_without_title": "1 item has no title; its id stands in.",
}


def test_rejected_lines_are_kept_with_file_line_and_text(store: Store, tmp_path: Path) -> None:
    lines = csv(rows()).splitlines()
    lines[3] = "u0,i9"  # line 4: the parser refuses it
    lines[10] = ",i1,1500000000"  # line 11: no user
    lines[20] = "u5,i1,never"  # line 21: no time
    dataset = run(store, tmp_path / "in", {"shop.csv": "\n".join(lines) + "\n"}, max_rejected=0.2)
    kept = pd.read_parquet(store.path("datasets", dataset.id) / "rejects.parquet")
    assert kept.values.tolist() == [
        ["shop.csv", 4, "missing columns", "u0,i9"],
        ["shop.csv", 11, "no user id", ", i1, 1500000000"],
        ["shop.csv", 21, "unreadable time", "u5, i1, never"],
    ]
    assert dataset.manifest.info["rejected"] == 3
    assert len(dataset.items) == 29


def test_leading_zeros_and_long_numbers_stay_exact(store: Store, tmp_path: Path) -> None:
    table = [(f"00{u[1:]}", f"{i[1:]}2345678901234567890123", t) for u, i, t in rows()]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(table)})
    assert dataset.user_ids.tolist() == [f"00{n}" for n in range(8)]
    assert sorted(dataset.catalogue["item_id"]) == [f"{n}2345678901234567890123" for n in range(5)]


def test_whole_floats_in_parquet_are_read_as_numbers(store: Store, tmp_path: Path) -> None:
    frame = FRAME.assign(user_id=FRAME["user_id"].str[1:].astype(float))
    dataset = run(store, tmp_path / "in", {"shop.parquet": _parquet(frame)})
    assert dataset.user_ids.tolist() == [str(n) for n in range(8)]


@pytest.mark.parametrize("content", ["ORCID,item_id,timestamp", "MZ,item_id,timestamp", "BZh,item_id,timestamp"])
def test_text_that_starts_like_a_binary_file_is_text(content: str, store: Store, tmp_path: Path) -> None:
    column = content.split(",")[0]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(rows(), content)}, columns={"user_id": column})
    assert dataset.n_users == 8


def test_hostile_column_names_and_values_are_only_text(store: Store, tmp_path: Path) -> None:
    header = 'user_id,item_id,timestamp,"x\'); DROP TABLE staged; --"'
    hostile = [(u, f'"{i}\'; DROP TABLE items; --"', t, '"=1+1"') for u, i, t in rows()]
    dataset = run(store, tmp_path / 'it\'s "in"', {"shop's.csv": csv(hostile, header)})
    assert dataset.catalogue["item_id"].str.endswith("DROP TABLE items; --").all()


def test_an_error_halfway_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("llmesr.data.catalogue.write", explode)
    with pytest.raises(OSError, match="disk full"):
        run(store, tmp_path / "in", {"shop.csv": GOOD})
    assert nothing_left(store)


def test_a_folder_of_unrelated_documents_is_left_alone(store: Store, tmp_path: Path) -> None:
    put(tmp_path / "in", {"README.md": "# hi", "LICENSE.txt": "free", "shop.csv": GOOD, ".hidden.csv": "x"})
    dataset = ingest([tmp_path / "in"], IngestConfig(name="shop", k_core=1), store)
    assert dataset.n_users == 8
