"""Ids stay what they are: exact, told apart, or refused by their row."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marketplace import START, csv, finding, items_csv, nothing_left, rows, run

from llmesr.errors import UserError
from llmesr.store import Store

BIG = 2**53 + 1
FRAME = pd.DataFrame(rows(users=30), columns=["user_id", "item_id", "timestamp"])


def parquet(table: pa.Table | pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table), buffer)
    return buffer.getvalue()


def jsonl(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def numbered(u: str, i: str, t: int) -> dict[str, Any]:
    return {"user_id": BIG + int(u[1:]), "item_id": 76561198000000000 + int(i[1:]), "timestamp": t}


WIDE = [numbered(*r) for r in rows()]
EXACT: dict[str, dict[str, str | bytes]] = {
    "json": {"x.jsonl": jsonl(WIDE)},
    "json array": {"x.json": json.dumps(WIDE)},
    "csv": {"x.csv": pd.DataFrame(WIDE).to_csv(index=False)},
    "parquet integers": {"x.parquet": parquet(pd.DataFrame(WIDE))},
    "parquet text": {"x.parquet": parquet(pd.DataFrame(WIDE).astype({"user_id": str, "item_id": str}))},
    "parquet bytes": {"x.parquet": parquet(pa.table({
        "user_id": [str(r["user_id"]).encode() for r in WIDE], "item_id": [str(r["item_id"]).encode() for r in WIDE],
        "timestamp": [r["timestamp"] for r in WIDE]}))},
    "bytes as Python prints them": {"x.csv": csv(
        [(f"b'{r['user_id']}'", f"b'{r['item_id']}'", r["timestamp"]) for r in WIDE])},
}  # fmt: skip


@pytest.mark.parametrize("case", EXACT)
def test_ids_are_exact(case: str, store: Store, tmp_path: Path) -> None:
    dataset = run(store, tmp_path / "in", EXACT[case])
    assert dataset.user_ids.tolist() == [str(BIG + n) for n in range(8)]
    assert dataset.catalogue["item_id"].tolist() == [str(76561198000000000 + n) for n in range(5)]


def test_whole_floats_are_the_numbers_they_were(store: Store, tmp_path: Path) -> None:
    records = [{"user_id": float(u[1:]), "item_id": i, "timestamp": t} for u, i, t in rows()]
    files: dict[str, str | bytes] = {"x.jsonl": jsonl(records), "x.parquet": parquet(pd.DataFrame(records))}
    for name, content in files.items():
        dataset = run(store, tmp_path / name, {name: content})
        assert dataset.user_ids.tolist() == [str(n) for n in range(8)]


AWKWARD = [
    'a,"b"',
    "two\nlines",
    "  inner  space",
    "x\ty",
    "007",
    "1e5",
    "ünï",
    "'",
    "-1",
    "$.a",
    "a/b~c",
    "null!",
    "日本",
]


def test_awkward_ids_survive_every_format(store: Store, tmp_path: Path) -> None:
    records = [{"user_id": f"{u}é", "item_id": AWKWARD[(u + n) % 13], "timestamp": START + n}
               for u in range(13) for n in range(4)]  # fmt: skip
    expected = sorted(a.strip() for a in AWKWARD)
    frame = pd.DataFrame(records)
    files: dict[str, str | bytes] = {
        "x.csv": frame.to_csv(index=False), "x.tsv": frame.to_csv(index=False, sep="\t"), "x.jsonl": jsonl(records),
        "x.json": json.dumps(records), "x.parquet": parquet(frame), "y.csv": frame.to_csv(index=False, quoting=1),
        "crlf.csv": frame.to_csv(index=False, lineterminator="\r\n"),
    }  # fmt: skip
    for name, content in files.items():
        dataset = run(store, tmp_path / name, {name: content})
        assert sorted(dataset.catalogue["item_id"]) == expected, name
        assert len(dataset.items) == 52, name


REJECTED: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "nan in parquet": (
        {"x.parquet": parquet(pd.concat([FRAME.assign(user_id=FRAME["user_id"].str[1:].astype(float)),
                                         pd.DataFrame({"user_id": [float("nan")], "item_id": ["i1"],
                                                       "timestamp": [START]})]))},
        "no user id", "x.parquet row 121: "),
    "none in parquet": (
        {"x.parquet": parquet(pd.concat([FRAME, pd.DataFrame({"user_id": [None], "item_id": ["i1"],
                                                              "timestamp": [START]})]))},
        "no user id", "x.parquet row 121: "),
    "null in json": (
        {"x.jsonl": jsonl(FRAME.to_dict("records")) + '{"user_id": null, "item_id": "i1", "timestamp": 1500000000}\n'},
        "no user id", "x.jsonl line 121: "),
    "nan in json": (
        {"x.jsonl": jsonl(FRAME.to_dict("records")) + '{"user_id": NaN, "item_id": "i1", "timestamp": 1500000000}\n'},
        "no user id", "x.jsonl line 121: "),
    "None in csv": ({"x.csv": csv(rows(users=30)) + f"u1,None,{START}\n"}, "no item id", "x.csv line 122: "),
    "scientific notation": (
        {"x.csv": csv(rows(users=30)) + f"1.23457E+11,i1,{START}\n"}, "scientific notation", "x.csv line 122: "),
    "scientific notation with a comma": (
        {"x.csv": csv(rows(users=30), delimiter=";") + f"u1;8,8E+12;{START}\n"}, "scientific", "x.csv line 122: "),
    "an object far below": (
        {"x.jsonl": jsonl(rows_of := FRAME.to_dict("records")) * 9 + '{"user_id": {"id": 3}, "item_id": "i1", '
         '"timestamp": 1500000000}\n'}, "an object or a list", "x.jsonl line 1081: "),
    "a fraction in json": (
        {"x.jsonl": jsonl(rows_of) + '{"user_id": 1.5, "item_id": "i1", "timestamp": 1500000000}\n'},
        "fraction", "x.jsonl line 121: "),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_what_is_no_id_is_named_by_its_row(case: str, store: Store, tmp_path: Path) -> None:
    files, reason, place = REJECTED[case]
    found = finding(run(store, tmp_path / "in", files), "rejected")
    assert found["count"] == 1
    assert reason in found["message"]
    assert found["examples"][0].startswith(place)


@pytest.mark.parametrize(
    ("field", "value"), [("user_id", {"id": "a"}), ("item_id", ["a"]), ("user_id", {"a": {"b": 1}})]
)
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.parquet"])
def test_nested_ids_are_refused_by_name(field: str, value: Any, name: str, store: Store, tmp_path: Path) -> None:
    records = [{**r, field: value} for r in FRAME.to_dict("records")]
    content = {"x.jsonl": jsonl(records), "x.json": json.dumps(records)}.get(name) or parquet(pd.DataFrame(records))
    with pytest.raises(UserError, match=f"'{field}' of {name} holds nested values"):
        run(store, tmp_path / "in", {name: content})
    assert nothing_left(store)


def test_a_spreadsheet_that_rounded_all_ids_is_refused(store: Store, tmp_path: Path) -> None:
    table = csv([(f"{n % 9}.12346E+15", i, t) for n, (_, i, t) in enumerate(rows())])
    with pytest.raises(UserError, match="32 of 32 lines .* scientific notation"):
        run(store, tmp_path / "in", {"x.csv": table})


def test_ids_that_only_look_alike_are_told(store: Store, tmp_path: Path) -> None:
    table = csv([*rows(), ("u1", "caf\u00e9", START), ("u2", "cafe\u0301", START), ("u3", "CAF\u00c9", START)])
    dataset = run(store, tmp_path / "in", {"x.csv": table})
    assert finding(dataset, "look_alike_ids")["count"] == 1
    assert {"caf\u00e9", "cafe\u0301"} <= set(dataset.catalogue["item_id"])


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl"])
def test_ids_that_trimming_makes_one_are_told(name: str, store: Store, tmp_path: Path) -> None:
    table = [*rows(), ("u1 ", "i9", START), ("u2", "\u00a0i1", START + 1), ("u3", "  i1", START + 2)]
    frame = pd.DataFrame(table, columns=["user_id", "item_id", "timestamp"])
    content: str | bytes = {"x.csv": csv(table), "x.jsonl": jsonl(frame.to_dict("records"))}.get(name) or parquet(frame)
    dataset = run(store, tmp_path / "in", {name: content})
    users, items = (f for f in dataset.manifest.info["report"] if f["code"] == "trimmed_ids")
    assert (users["count"], users["examples"], users["level"]) == (1, ["'u1 ' is 'u1'"], "warning")
    assert (items["count"], len(items["examples"])) == (2, 1)
    assert dataset.n_users == 8


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_ids_that_are_padded_alike_stay_apart_and_are_not_told(ending: str, store: Store, tmp_path: Path) -> None:
    """Spaces behind every comma, and a line that ends in another way, make no two ids one."""
    lines = [f"{u}, {t}, {i}" for u, i, t in rows()]
    table = "\n".join(["user_id,timestamp,item_id", *lines]) + ending
    dataset = run(store, tmp_path / "in", {"x.csv": table})
    assert "trimmed_ids" not in [f["code"] for f in dataset.manifest.info["report"]]


def of_type(kind: pa.DataType, ids: list[Any]) -> bytes:
    """Four choices each of users with ``ids``, one after the other."""
    items, times = [f"i{n}" for n in range(4) for _ in ids], [START + n for n in range(4 * len(ids))]
    columns = [pa.array(ids * 4, kind), items, times]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, names=["user_id", "item_id", "timestamp"]), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "ids", "read"),
    [
        (pa.decimal128(20, 0), [7, 10**18], ["7", str(10**18)]),
        (pa.decimal128(30, 2), [Decimal("7.00"), Decimal(2**53 + 1)], ["7", str(2**53 + 1)]),
        (pa.float32(), [7.0, 2.0**24], ["7", str(2**24)]),
        (pa.uint64(), [7, 2**64 - 1], ["7", str(2**64 - 1)]),
        (pa.dictionary(pa.int32(), pa.string()), ["007", "a b"], ["007", "a b"]),
    ],
)
def test_ids_of_any_type_are_exact(
    kind: pa.DataType, ids: list[Any], read: list[str], store: Store, tmp_path: Path
) -> None:
    dataset = run(store, tmp_path / "in", {"x.parquet": of_type(kind, ids)})
    assert list(dataset.user_ids) == read


@pytest.mark.parametrize(
    ("kind", "ids", "words"),
    [
        (pa.float32(), [1e9, 1e9 + 1, 1e9 + 2, 3e9], "too large to be exact"),
        (pa.decimal128(20, 2), [Decimal("1.50"), Decimal("2.50")], "written as a fraction"),
        (pa.bool_(), [True, False], "'user_id' of x.parquet holds only true and false"),
        (pa.binary(16), [bytes([200] * 16), bytes([201] * 16)], "bytes that are no text"),
        (pa.list_(pa.string()), [["a"], ["b"]], "nested values"),
    ],
)
def test_what_cannot_be_an_id_is_refused(
    kind: pa.DataType, ids: list[Any], words: str, store: Store, tmp_path: Path
) -> None:
    """32 bits hold no number beyond 2^24 exactly: neighbours would be one user."""
    with pytest.raises(UserError, match=words):
        run(store, tmp_path / "in", {"x.parquet": of_type(kind, ids)})


def test_ids_that_spreadsheets_were_told_to_leave_alone(store: Store, tmp_path: Path) -> None:
    table = csv([(f'="00{u[1:]}"', f'="{i}"', t) for u, i, t in rows()])
    dataset = run(store, tmp_path / "in", {"x.csv": table, "items.csv": items_csv()})
    assert list(dataset.user_ids) == [f"00{n}" for n in range(8)]
    assert dataset.catalogue["title"].tolist()[0] == "Thing 0"


def test_half_a_character_in_json_costs_its_line(store: Store, tmp_path: Path) -> None:
    lines = [json.dumps({"user_id": u, "item_id": i, "timestamp": t}) for u, i, t in rows()]
    lines.append('{"user_id": "\\ud800x", "item_id": "i1", "timestamp": 1500000000}')
    dataset = run(store, tmp_path / "in", {"x.jsonl": "\n".join(lines)})
    assert finding(dataset, "rejected")["examples"][0].startswith("x.jsonl line 33: ")


@pytest.mark.parametrize("mark", ["\u200b", "\u00ad", "\u2060", "\u200e", "\ufeffx\u200d"])
def test_ids_with_characters_that_nobody_sees_are_told(mark: str, store: Store, tmp_path: Path) -> None:
    table = csv([*rows(), ("u9", f"i{mark}1", START), ("u1", "i1" if "x" not in mark else "ix1", START + 9)])
    dataset = run(store, tmp_path / "in", {"x.csv": table})
    assert finding(dataset, "look_alike_ids")["count"] == 1
    assert f"i{mark}1" in set(dataset.catalogue["item_id"])


@pytest.mark.parametrize("name", ["data[1].csv", "a*.csv", "wh?t.csv", "{a,b}.csv", "x.csv.gz", "it's.csv", "~x.csv",
                                  "we[!a]rd.parquet", "a*.json"])  # fmt: skip
def test_names_are_literal(name: str, store: Store, tmp_path: Path) -> None:
    """Beside files that the name would match as a pattern, in a folder whose name is one as well."""
    others = csv([(f"x{n}", "y", START) for n in range(50)])
    folder = tmp_path / "in[1]" / "user_id=7"
    folder.mkdir(parents=True)
    for beside in ("data1.csv", "ab.csv", "what.csv", "a.csv", "b.csv"):
        (folder / beside).write_text(others)
    (folder / "aa.json").write_text(json.dumps([{"user_id": "x", "item_id": "y", "timestamp": START}]))
    (folder / "weird.parquet").write_bytes(parquet(pd.DataFrame([("x", "y", START)], columns=FRAME.columns)))
    content: str | bytes = csv(rows())
    if name.endswith("parquet"):
        content = parquet(pd.DataFrame(rows(), columns=FRAME.columns))
    elif name.endswith("json"):
        content = json.dumps([dict(zip(FRAME.columns, r, strict=True)) for r in rows()])
    elif name.endswith("gz"):
        content = csv(rows()).encode()  # not packed, whatever its name
    dataset = run(store, folder, {name: content})
    assert dataset.user_ids.tolist() == [f"u{n}" for n in range(8)]
    assert len(dataset.items) == 32
