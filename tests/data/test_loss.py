"""Every line is read as it was meant, or named: no quote, line ending, delimiter or header swallows others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from marketplace import (
    ALL,
    BIG,
    GOOD,
    HEADER,
    START,
    choices,
    csv,
    finding,
    items_csv,
    nothing_left,
    put,
    rows,
    run,
    titles,
)

from llmesr.config import IngestConfig
from llmesr.data.ingest import ingest
from llmesr.data.sources import describe
from llmesr.errors import UserError
from llmesr.store import Store

DAYS = [f"2021-01-{1 + n % 28:02} 10:{n:02}:00" for n in range(len(rows()))]
READ: dict[str, tuple[str, str | bytes]] = {
    "crlf, then lf": ("shop.csv", GOOD.replace("\n", "\r\n", 3)),
    "lf, then crlf": ("shop.csv", GOOD[:200] + GOOD[200:].replace("\n", "\r\n")),
    "cr alone": ("shop.csv", GOOD.replace("\n", "\r")),
    "a cr in the middle": ("shop.csv", "\r".join(GOOD.rsplit("\n", 3))),
    "cr and crlf": ("shop.csv", GOOD.replace("\n", "\r\n").replace("\r\n", "\r", 4)),
    "blank lines": ("shop.csv", GOOD.replace("\nu3", "\n\nu3").replace("\nu5", "\n  \nu5") + "\n\n"),
    "no last line ending": ("shop.csv", GOOD.rstrip("\n")),
    "sep=, and semicolons": ("shop.csv", "sep=;\n" + csv(rows(), delimiter=";")),
    "sep=, crlf and a mark": ("shop.csv", "\ufeffsep=;\r\n" + csv(rows(), delimiter=";").replace("\n", "\r\n")),
    "sep= in utf-16": ("shop.csv", ("sep=|\n" + csv(rows(), delimiter="|")).encode("utf-16")),
    "delimiters at the ends": ("shop.csv", csv([(*r, "") for r in rows()], HEADER)),
    "delimiters at some ends": ("shop.csv", csv([(*r, "") if n > 9 else r for n, r in enumerate(rows())], HEADER)),
    "delimiters at all ends": ("shop.csv", csv([(*r, "") for r in rows()], HEADER + ",")),
    "tabs at the ends": ("shop.tsv", csv([(*r, "") for r in rows()], HEADER, "\t")),
    "spaces before quotes": ("shop.csv", csv([(f'"{u}"', f' "{i}"', f' "{t}"') for u, i, t in rows()],
                                             '"user_id", "item_id", "timestamp"')),
    "spaces after delimiters": (
        "shop.csv", csv([(u, f" {i}", f" {t}") for u, i, t in rows()], HEADER.replace(",", ", "))),
    "single quotes": (
        "shop.csv", csv([(f"'{u}'", f"'{i}'", t) for u, i, t in rows()], "'user_id','item_id',timestamp")),
    "double colons": ("mine.txt", csv(rows(), HEADER, "::")),
    "control characters": ("mine.txt", csv(rows(), HEADER, "\x01")),
    "all quoted": ("shop.csv", csv([tuple(f'"{c}"' for c in r) for r in rows()], '"user_id","item_id","timestamp"')),
    "a space after each delimiter, dates": (
        "shop.csv", csv([(u, f" {i}", f" {d}") for (u, i, _), d in zip(rows(), DAYS, strict=True)],
                        HEADER.replace(",", ", "))),
    "a title above": ("shop.csv", "Sales report 2021\nfrom the till\n\n" + GOOD),
    "a title above, filled up": ("shop.csv", "Sales report 2021,,\n,,\n" + GOOD),
    "remarks above": ("shop.csv", "# exported 2021\n# user, item, time\n" + GOOD),
    "a title with a comma": (
        "shop.csv", "Sales until May 3, 2021\n" + csv([(*r, "x") for r in rows()], HEADER + ",note")),
    "a title above semicolons": ("shop.csv", "Orders\n" + csv(rows(), HEADER, ";")),
    "a title above, utf-16 and tabs": ("shop.txt", ("Orders\r\n" + csv(rows(), HEADER, "\t")).encode("utf-16")),
    "utf-32": ("shop.csv", GOOD.encode("utf-32")),
    "empty rows of a spreadsheet below": ("shop.csv", GOOD + ",,\n" * 500),
    "empty rows between": ("shop.csv", GOOD.replace("\nu3", "\n, ,\nu3")),
    "two columns of one name, alike": ("shop.csv", csv([(u, u, i, t) for u, i, t in rows()], f"user_id,{HEADER}")),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_read_as_it_was_meant(case: str, store: Store, tmp_path: Path) -> None:
    name, content = READ[case]
    dataset = run(store, tmp_path / "in", {name: content})
    assert choices(dataset) == ALL
    assert dataset.manifest.info["rejected"] == 0


def test_what_stands_above_a_table_is_told(store: Store, tmp_path: Path) -> None:
    dataset = run(store, tmp_path / "in", {"shop.csv": "Sales report 2021\n\n" + GOOD.replace("u3,i4,", "u3,,", 1)})
    assert finding(dataset, "titles")["message"] == (
        "The table of shop.csv begins in line 3; what stands above it is left out ('Sales report 2021')."
    )
    assert finding(dataset, "rejected")["examples"][0].startswith("shop.csv line 17: ")


@pytest.mark.parametrize("header", [",user_id,item_id,timestamp", ",,user_id", "user_id;item_id;timestamp"])
def test_names_of_columns_are_no_title(header: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(header + "\n" + csv([(n, *r) for n, r in enumerate(rows())], ""))
    try:
        found = describe(tmp_path / "x.csv")
    except UserError:
        return
    assert found.dialect.skip == 0
    assert "user_id" in found.columns


HEADERLESS: dict[str, tuple[str, str, bool | None]] = {
    "text and dates": (csv([(u, i, f"2020-01-0{1 + n % 9}") for n, (u, i, _) in enumerate(rows())], ""), "x.csv", None),
    "text alone": (csv([r[:2] for r in rows()], "", "\t"), "x.tsv", None),
    "numbers": (csv(rows(), ""), "x.csv", None),
    "double colons": (csv(rows(), "", "::"), "my.dat", None),
    "said so": (csv([(f"Ann{n // 4}", chr(97 + n % 7)) for n in range(32)], ""), "x.csv", False),
}


@pytest.mark.parametrize("case", HEADERLESS)
def test_without_a_header_the_first_line_counts(case: str, store: Store, tmp_path: Path) -> None:
    text, name, header = HEADERLESS[case]
    columns = {"user_id": "column1", "item_id": "column2"}
    dataset = run(store, tmp_path / "in", {name: text}, columns=columns, header=header, repeats="keep")
    assert len(dataset.items) == 32
    assert dataset.manifest.info["rejected"] == 0


def test_a_header_of_numbers_is_one_if_that_is_said(store: Store, tmp_path: Path) -> None:
    text = csv(rows(), "1,2,3")
    dataset = run(store, tmp_path / "in", {"x.csv": text}, header=True,
                  columns={"user_id": "1", "item_id": "2", "timestamp": "3"})  # fmt: skip
    assert len(dataset.items) == 32


def test_netflix_blocks(store: Store, tmp_path: Path) -> None:
    text = "".join(f"{m}:\n" + "".join(f"{u},{1 + u % 5},2005-09-0{m}\n" for u in range(1, 9)) for m in range(1, 5))
    dataset = run(store, tmp_path / "in", {"combined_data_1.txt": text + "9,5\n"})
    assert choices(dataset) == [(str(u), str(m)) for u in range(1, 9) for m in range(1, 5)]
    assert finding(dataset, "rejected")["examples"] == ["combined_data_1.txt line 37: 9,5"]


REJECTED: dict[str, tuple[str | bytes, str, str]] = {
    "a repeated header": (csv(BIG) + f"{HEADER}\nu1,i9,{START}\n", "repeats the header", "shop.csv line 402: "),
    "a repeated header without times": (
        csv([r[:2] for r in BIG], "user_id,item_id") + "user_id,item_id\n", "repeats the header", "shop.csv line 402: ",
    ),
    "a zero byte far into the file": (
        csv([(u, f"{i}{'x' * 99}", t) for u, i, t in BIG]).encode() + b"u1,i\0,1500000000\n",
        "holds a zero byte", "shop.csv line 402: ",
    ),
    "too few cells": (csv(BIG) + "u1,i9\n", "missing columns", "shop.csv line 402: u1,i9"),
    "too many cells": (csv(BIG) + "u1,i9,1,2\n", "too many columns", "shop.csv line 402: u1,i9,1,2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_by_line_and_true_cause(case: str, store: Store, tmp_path: Path) -> None:
    content, reason, example = REJECTED[case]
    dataset = run(store, tmp_path / "in", {"shop.csv": content})
    found = finding(dataset, "rejected")
    assert found["count"] == 1
    assert reason in found["message"]
    assert found["examples"][0].startswith(example)
    assert "user_id" not in dataset.user_ids


REFUSED: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "rows longer than the header": (
        {"shop.csv": csv([(n, *r) for n, r in enumerate(rows())], HEADER)}, {}, "rows have 4 cells, the header 3"),
    "two columns of one name, unlike": (
        {"shop.csv": csv([(f"x{n}", *r) for n, r in enumerate(rows())], f"user_id,{HEADER}")},
        {}, r"2 columns named 'user_id'.*'user_id', 'user_id_2'"),
    "zero bytes": ({"shop.csv": GOOD.encode()[:200] + bytes(9)}, {}, "zero bytes, the first in line 12"),
    "neither UTF-8 nor Windows-1252": (
        {"shop.csv": csv([(u, f"\u30fc{i}", t) for u, i, t in rows()]).encode("shift_jis")}, {},
        "neither UTF-8 nor Windows-1252 .first in line 2.; say its encoding"),
    "a web page": ({"shop.csv": "\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"}, {}, "is a web page"),
    "an xml document": ({"shop.csv": "<?xml version='1.0'?>\n<rows><row user='1'/></rows>"}, {}, "XML document"),
    "a pointer": ({"shop.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:00\n"}, {}, "git lfs pull"),
    "a delimiter nobody knows": ({"shop.csv": csv([(u, i, DAYS[0]) for u, i, _ in rows()], HEADER, "^")}, {},
                                 r"only one column in its first line .'user_id\^item_id.*--set delimiter="),
    "another delimiter in the header": (
        {"shop.csv": f"{HEADER}\n" + csv(rows(), "", ";")}, {}, "only one column in its first line"),
    "an unknown encoding": ({"shop.csv": GOOD}, {"encoding": "klingon"}, "Encoding 'klingon' is not known"),
    "not in the stated encoding": (
        {"shop.csv": GOOD.encode() + "u1,\u00e9,1500000000\n".encode("latin-1")}, {"encoding": "utf-8"},
        "line 34, is not utf-8"),
    "an item file with other column names": (
        {"shop.csv": GOOD, "catalogue.csv": "code,label\n" + "".join(f"i{n},Thing\n" for n in range(5))},
        {}, r"catalogue\.csv .*'code'.*--item-column item_id=code"),
    "a file that is neither": ({"shop.csv": GOOD, "b.csv": "x,y\n1.5,2.5\n2.5,3.5\n"}, {}, r"b\.csv .*leave it out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_true_cause(case: str, store: Store, tmp_path: Path) -> None:
    files, settings, words = REFUSED[case]
    with pytest.raises(UserError, match=words) as caught:
        run(store, tmp_path / "in", files, **settings)
    assert not [w for w in ("Error:", "duckdb", "codec", "Traceback") if w in str(caught.value)]
    assert nothing_left(store)


@pytest.mark.parametrize(
    ("encoding", "title"), [("cp1251", "Книга"), ("shift_jis", "\u672c"), ("gbk", "\u4e66"), ("utf-16-le", "Книга")]
)
def test_a_stated_encoding_is_used(encoding: str, title: str, store: Store, tmp_path: Path) -> None:
    items = "item_id,title\n" + "".join(f"i{n},{title} {n}\n" for n in range(5))
    files: dict[str, str | bytes] = {"shop.csv": GOOD.encode(encoding), "items.csv": items.encode(encoding)}
    dataset = run(store, tmp_path / "in", files, encoding=encoding)
    assert titles(dataset)["i1"] == f"{title} 1"


def test_ids_that_are_neither_utf8_nor_windows_stay_apart(store: Store, tmp_path: Path) -> None:
    """A few such lines are read, each byte as itself."""
    odd = [b"u0,x\x81,1500000001\n", b"u0,x\x8d,1500000002\n"]
    dataset = run(store, tmp_path / "in", {"shop.csv": csv(rows(users=20)).encode() + b"".join(odd)})
    assert {"x\x81", "x\x8d"} <= set(dataset.catalogue["item_id"])
    assert finding(dataset, "encoding")["count"] == 2


def test_the_warning_names_the_setting(store: Store, tmp_path: Path) -> None:
    items = "item_id,title\n" + "".join(f"i{n},Книга {n}\n" for n in range(5))
    dataset = run(store, tmp_path / "in", {"shop.csv": GOOD, "items.csv": items.encode("cp1251")})
    assert "--set encoding=cp1251" in finding(dataset, "encoding")["message"]


@pytest.mark.parametrize(("settings", "delimiter"), [({"delimiter": "~"}, "~"), ({"delimiter": "tab"}, "\t")])
def test_a_stated_delimiter_and_quote_are_used(settings: dict[str, Any], delimiter: str, tmp_path: Path) -> None:
    put(tmp_path, {"x.txt": csv([("$a$", "$b$", 1), ("$c$", "$d$", 2)], HEADER, delimiter)})
    found = describe(tmp_path / "x.txt", IngestConfig(name="x", quote="$", **settings))
    assert found.sample["user_id"].tolist() == ["a", "c"]
    plain = describe(tmp_path / "x.txt", IngestConfig(name="x", quote="none", **settings))
    assert plain.sample["item_id"].tolist() == ["$b$", "$d$"]


@pytest.mark.parametrize(
    ("weights", "read", "unread"),
    [
        (["0,5", "1,5", "2", "3,25"], [0.5, 1.5, 2.0, 3.25], 0),
        (["4/5", "3/5", "5", "1"], [None, None, 5.0, 1.0], 16),
        (["true", "false", "1", "0"], [None, None, 1.0, 0.0], 16),
        (["5 stars", "4", "inf", ""], [None, 4.0, None, None], 16),
        (["1.5", "", "nan", "2"], [1.5, None, None, 2.0], 0),
        (["1,000", "2,000", "3", "4"], [None, None, 3.0, 4.0], 16),
    ],
)
def test_weights_are_read_or_counted(
    weights: list[str], read: list[float | None], unread: int, store: Store, tmp_path: Path
) -> None:
    table = csv([(*r, weights[n % 4]) for n, r in enumerate(rows())], f"{HEADER};rating".replace(",", ";"), ";")
    dataset = run(store, tmp_path / "in", {"shop.csv": table})
    kept = pd.read_parquet(store.path("datasets", dataset.id) / "interactions.parquet")["weight"]
    assert [None if pd.isna(w) else w for w in kept[:4]] == read
    codes = {f["code"]: f for f in dataset.manifest.info["report"]}
    assert ("weights" in codes) == bool(unread)
    if unread:
        assert codes["weights"]["count"] == unread
        assert "shop.csv line " in codes["weights"]["examples"][0]


GUESSES: dict[str, tuple[str, list[tuple[Any, ...]], str | None]] = {
    "a name beside a rating": (
        "username,item_id,user_rating,timestamp", [(u, i, n % 5, t) for n, (u, i, t) in enumerate(rows())], "username"),
    "a key beside an age": (
        "user_key,item_id,user_age,timestamp", [(u, i, 20 + n % 9, t) for n, (u, i, t) in enumerate(rows())],
        "user_key"),
    "counts alone": (
        "who,item_id,user_count,timestamp", [(u, i, n, t) for n, (u, i, t) in enumerate(rows())], None),
    "two that could be": (
        "user_code,user_ref,item_id,timestamp", [(u, f"r{u}", i, t) for u, i, t in rows()], None),
}  # fmt: skip


@pytest.mark.parametrize("case", GUESSES)
def test_a_doubtful_user_column_is_asked_about(case: str, store: Store, tmp_path: Path) -> None:
    header, table, column = GUESSES[case]
    if column is None:
        with pytest.raises(UserError, match=r"user_id.*--column user_id=NAME"):
            run(store, tmp_path / "in", {"shop.csv": csv(table, header)})
    else:
        dataset = run(store, tmp_path / "in", {"shop.csv": csv(table, header)})
        assert dataset.manifest.info["columns"]["user_id"] == column
        assert dataset.user_ids.tolist() == [f"u{n}" for n in range(8)]


def test_other_files_of_a_folder_are_warned_about(store: Store, tmp_path: Path) -> None:
    put(
        tmp_path / "in",
        {"shop.csv": GOOD, "items.csv": items_csv(), "stores.csv": "place,size\nnorth,big\nsouth,small\n"},
    )
    dataset = ingest([tmp_path / "in"], IngestConfig(name="shop", k_core=1), store)
    assert finding(dataset, "ignored_file")["level"] == "warning"
