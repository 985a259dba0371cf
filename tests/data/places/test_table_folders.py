"""Delta and Iceberg tables are read as they stand: no deleted row comes back."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

import llmesr
from llmesr.data.places import address, tables
from llmesr.errors import UserError
from llmesr.store import Store

GONE = "u0"


def rows(first: int = 0) -> pa.Table:
    """Thirty users with six items each; the user who is to be deleted among them."""
    pairs = [(f"u{u}", (u + i) % 9, 1_500_000_000 + 1000 * i) for u in range(first, first + 30) for i in range(6)]
    users, items, times = zip(*pairs, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def delta(folder: Path) -> Path:
    write_deltalake(str(folder), rows())
    write_deltalake(str(folder), rows(30), mode="append")
    DeltaTable(str(folder)).delete(f"user_id = '{GONE}'")
    return folder


def iceberg(folder: Path) -> Path:
    home = folder.with_name("warehouse")
    home.mkdir()
    catalog = SqlCatalog("local", uri=f"sqlite:///{home}/catalog.db", warehouse=home.as_uri())
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.orders", schema=rows().schema)
    table.append(rows())
    table.append(rows(30))
    table.delete(f"user_id = '{GONE}'")
    return Path(table.location().removeprefix("file://"))


@pytest.mark.parametrize(("make", "said"), [(delta, "Delta, version 2"), (iceberg, "Iceberg, 0000")])
def test_a_table_is_read_as_it_stands(make: object, said: str, store: Store, tmp_path: Path) -> None:
    folder = make(tmp_path / "orders")  # type: ignore[operator]
    dataset = llmesr.ingest(folder, name="shop", store=store)
    assert dataset.n_users == 59
    assert GONE not in set(dataset.user_ids)
    (source,) = store.manifest("datasets", dataset.id).info["sources"]
    assert source["table"].startswith(said)
    assert source["from"] == str(folder)


def test_two_tables_of_one_name_are_told_apart_by_a_sentence(store: Store, tmp_path: Path) -> None:
    one, two = (delta(tmp_path / name / "orders") for name in ("a", "b"))
    with pytest.raises(UserError, match="tables of different names"):
        llmesr.ingest(one, two, name="shop", store=store)


def test_what_cannot_be_read_says_what_it_is(store: Store, tmp_path: Path) -> None:
    damaged = delta(tmp_path / "orders")
    for log in (damaged / "_delta_log").glob("*.json"):
        log.write_text("nonsense")
    with pytest.raises(UserError, match="is a Delta table that cannot be read"):
        llmesr.ingest(damaged, name="shop", store=store)

    empty = iceberg(tmp_path / "other")
    shutil.rmtree(empty / "metadata")
    (empty / "metadata").mkdir()
    with pytest.raises(UserError, match="looks like an Iceberg table, but no file"):
        llmesr.ingest(empty, name="shop", store=store)


def secret(folder: Path) -> Path:
    """Rows that are nobody's business, beside the folder of a table."""
    path = folder.with_name("secret") / "rows.parquet"
    path.parent.mkdir()
    pq.write_table(rows(), path)
    return path


def test_a_delta_table_reads_no_file_outside_its_folder(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    write_deltalake(str(folder), rows())
    outside = secret(folder)
    log = folder / "_delta_log" / "00000000000000000000.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    (add,) = [action["add"] for action in actions if "add" in action]
    inside = folder / add["path"]
    (folder / "link").symlink_to(outside.parent)
    for path in (
        "../secret/rows.parquet",
        "%2e%2e/secret/rows.parquet",
        "..%2Fsecret%2Frows.parquet",
        "link/rows.parquet",
        str(outside),
        outside.as_uri(),
        "s3://bucket/rows.parquet",
        "http://127.0.0.1:9/rows.parquet",
    ):
        add |= {"path": path, "size": outside.stat().st_size}
        log.write_text("\n".join(map(json.dumps, actions)))
        with pytest.raises(UserError, match="does not lie in it"):
            llmesr.ingest(folder, name="shop", store=store)

    add |= {"path": inside.as_uri(), "size": inside.stat().st_size}  # an absolute path to a file that is its own
    log.write_text("\n".join(map(json.dumps, actions)))
    assert llmesr.ingest(folder, name="shop", store=store).n_users == 30


OUTSIDE = [
    ("p", "HERE/secret/rows.parquet"),
    ("p", "file://HERE/secret/rows.parquet"),
    ("p", "s3://bucket/rows.bin"),
    ("p", "http://127.0.0.1:9/rows.bin"),
    ("u", "../../secretab^-aqEH.-t@S}K{vb[*k^"),
    ("u", "%2e%2e/ab^-aqEH.-t@S}K{vb[*k^"),
]


@pytest.mark.parametrize(("stored", "named"), OUTSIDE)
@pytest.mark.parametrize("where", ["log", "log, said twice", "checkpoint"])
def test_a_delta_table_reads_no_deletion_vector_outside_its_folder(
    stored: str, named: str, where: str, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "orders"
    write_deltalake(str(folder), rows())
    logs = folder / "_delta_log"
    path = named.replace("HERE", str(tmp_path))
    vector = {"storageType": stored, "pathOrInlineDv": path, "offset": 1, "sizeInBytes": 34}
    if where == "checkpoint":
        add = {"path": "x.parquet", "deletionVector": vector}
        pq.write_table(pa.table({"add": [None, add]}), logs / "00000000000000000000.checkpoint.parquet")
    else:
        log = logs / "00000000000000000000.json"
        text = json.dumps(vector)
        if where == "log, said twice":
            text = text[:-1] + ', "pathOrInlineDv": "inside"}'
        lines = log.read_text().splitlines()
        log.write_text("\n".join(line.replace('"add":{', f'"add":{{"deletionVector":{text},') for line in lines))
        assert "deletionVector" in log.read_text()
    with pytest.raises(UserError, match="does not lie in it"):
        llmesr.ingest(folder, name="shop", store=store)


def test_a_delta_table_with_a_checkpoint_is_read(store: Store, tmp_path: Path) -> None:
    folder = delta(tmp_path / "orders")
    DeltaTable(str(folder)).create_checkpoint()
    assert any(path.suffix == ".parquet" for path in (folder / "_delta_log").iterdir())
    assert llmesr.ingest(folder, name="shop", store=store).n_users == 59


def _described(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest metadata of an Iceberg table."""
    path = max((folder / "metadata").glob("*.metadata.json"))
    return path, json.loads(path.read_text())


def test_an_iceberg_table_does_not_choose_the_code_that_opens_it(store: Store, tmp_path: Path) -> None:
    folder = iceberg(tmp_path / "orders")
    path, metadata = _described(folder)
    metadata["properties"] = {"/bin/touch": "", str(tmp_path / "owned"): "", "py-io-impl": "subprocess.Popen"}
    path.write_text(json.dumps(metadata))
    with mock.patch("subprocess.Popen") as popen:
        assert llmesr.ingest(folder, name="shop", store=store).n_users == 59
    popen.assert_not_called()


@pytest.mark.parametrize("where", ["beside", "linked", "s3://bucket/list.avro", "http://127.0.0.1:9/list.avro"])
def test_an_iceberg_table_reads_no_file_outside_its_folder(where: str, store: Store, tmp_path: Path) -> None:
    folder = iceberg(tmp_path / "orders")
    path, metadata = _described(folder)
    for snapshot in metadata["snapshots"]:
        own = Path(snapshot["manifest-list"].removeprefix("file://"))
        beside = tmp_path / own.name
        beside.write_bytes(own.read_bytes())
        snapshot["manifest-list"] = beside.as_uri() if where == "beside" else where
        if where == "linked":
            own.unlink()
            own.symlink_to(beside)
            snapshot["manifest-list"] = own.as_uri()
    path.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match="does not lie in it"):
        llmesr.ingest(folder, name="shop", store=store)


def test_an_iceberg_table_that_was_copied_is_read_where_it_lies(store: Store, tmp_path: Path) -> None:
    folder = iceberg(tmp_path / "orders")
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    shutil.rmtree(folder)
    dataset = llmesr.ingest(copied, name="shop", store=store)
    assert (dataset.n_users, GONE in set(dataset.user_ids)) == (59, False)

    path, metadata = _described(copied)
    (snapshot,) = [s for s in metadata["snapshots"] if s["snapshot-id"] == metadata["current-snapshot-id"]]
    snapshot["manifest-list"] = f"{metadata['location']}/../secret/list.avro"
    path.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match="does not lie in it"):
        llmesr.ingest(copied, name="again", store=store)


def test_a_full_disk_is_not_the_fault_of_the_table(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), tables.opened(delta(tmp_path / "orders"), "Delta"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_without_its_library_the_extra_is_named(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = delta(tmp_path / "orders")
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(UserError, match=r"pip install 'llmesr\[tables\]'"):
        llmesr.ingest(folder, name="shop", store=store)


@pytest.mark.parametrize(("entry", "words"), [("_delta_log", "Delta"), ("metadata", "Iceberg")])
def test_a_table_at_an_address_is_refused(entry: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "table" / entry).mkdir(parents=True)
    (tmp_path / "table" / "data").mkdir()
    (tmp_path / "table" / "part.csv").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(UserError, match=words):
        list(address.fetch((tmp_path / "table").as_uri(), tmp_path / "kept", limit=10**9))
