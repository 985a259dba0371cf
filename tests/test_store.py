"""Artifacts: whole or not there, refused when wrong, portable."""

import json
import tarfile
from pathlib import Path

import pytest

from llmesr.errors import UserError
from llmesr.store import MANIFEST, Manifest, Store


def make(
    store: Store, id: str = "shop-1", name: str = "shop", parents: list[Manifest] | None = None, kind: str = "datasets"
) -> Manifest:
    with store.draft(kind, id, name=name, parents=parents) as draft:
        (draft.path / "data.txt").write_text("hello")
    return store.manifest(kind, id)


def test_a_failed_draft_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.draft("datasets", "x", name="x") as draft:
        (draft.path / "half.txt").write_text("half")
        raise ZeroDivisionError
    assert list((store.root / "datasets").iterdir()) == []


def test_replacing_keeps_one_whole_artifact(store: Store) -> None:
    make(store)
    with store.draft("datasets", "shop-1", name="shop") as draft:
        (draft.path / "other.txt").write_text("new")
    assert set(store.manifest("datasets", "shop-1").files) == {"other.txt"}
    assert [p.name for p in (store.root / "datasets").iterdir()] == ["shop-1"]


def test_find_by_id_name_and_prefix(store: Store) -> None:
    make(store, "shop-1")
    newest = make(store, "shop-2")
    make(store, "books-7", "books")
    assert store.find("datasets", "shop").id == newest.id
    assert store.find("datasets", "boo").id == "books-7"
    assert store.find("datasets", "shop-1").id == "shop-1"
    with pytest.raises(UserError, match="no dataset called 'toys'. Known: books, shop"):
        store.find("datasets", "toys")
    with pytest.raises(UserError, match="fits several"):
        store.find("datasets", "sho")


def test_a_damaged_manifest_is_set_apart(store: Store) -> None:
    make(store)
    make(store, "bad-1", "bad")
    (store.path("datasets", "bad-1") / MANIFEST).write_text("{")
    assert [m.id for m in store.list("datasets")] == ["shop-1"]
    assert "damaged" in store.broken("datasets")["bad-1"]
    with pytest.raises(UserError, match="damaged"):
        store.find("datasets", "bad-1")


def test_another_schema_version_is_told(store: Store) -> None:
    make(store)
    path = store.path("datasets", "shop-1") / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(UserError, match="schema version 99"):
        store.manifest("datasets", "shop-1")


def test_parents_are_protected(store: Store) -> None:
    parent = make(store)
    make(store, "vectors-1", "vectors", parents=[parent], kind="embeddings")
    with pytest.raises(UserError, match="used by 1 artifacts"):
        store.delete("datasets", "shop-1")
    store.delete("embeddings", "vectors-1")
    store.delete("datasets", "shop-1")
    assert store.list("datasets") == []


@pytest.mark.parametrize("id", ["../evil", "a/b", "", ".hidden", "a b"])
def test_ids_cannot_leave_the_root(store: Store, id: str) -> None:
    with pytest.raises(UserError):
        store.path("datasets", id)


def test_export_and_import_round_trip(store: Store, tmp_path: Path) -> None:
    original = make(store)
    archive = store.export("datasets", "shop-1", tmp_path / "shop.tar.gz")
    with pytest.raises(UserError, match="already here"):
        store.import_archive(archive)
    other = Store(tmp_path / "other")
    assert other.import_archive(archive) == original
    assert (other.path("datasets", "shop-1") / "data.txt").read_text() == "hello"


def test_imports_are_checked(store: Store, tmp_path: Path) -> None:
    make(store)
    path = store.path("datasets", "shop-1") / "data.txt"
    path.write_text("tampered")
    archive = store.export("datasets", "shop-1", tmp_path / "shop.tar.gz")
    other = Store(tmp_path / "other")
    with pytest.raises(UserError, match=r"data\.txt does not match its checksum"):
        other.import_archive(archive)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        tar.add(path, arcname="../../outside.txt")
    with pytest.raises(UserError, match="not an archive llmesr exported"):
        other.import_archive(evil)
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(UserError, match="not an archive"):
        other.import_archive(tmp_path / "text.tar.gz")
    assert not (tmp_path / "outside.txt").exists()
