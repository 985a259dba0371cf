"""Artifacts: whole or not there, refused when wrong, portable."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from llmesr.errors import UserError
from llmesr.store import MANIFEST, Manifest, Store, export_archive, import_archive


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
    make(store, "only-1")
    store.delete("datasets", "shop-1")
    for nothing in ("", " "):  # as a variable of a shell that is not set
        with pytest.raises(UserError, match="names no dataset"):
            store.find("datasets", nothing)


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
    archive = export_archive(store, "datasets", "shop-1", tmp_path / "shop.tar.gz")
    with pytest.raises(UserError, match="already here"):
        import_archive(store, archive)
    other = Store(tmp_path / "other")
    assert import_archive(other, archive) == original
    assert (other.path("datasets", "shop-1") / "data.txt").read_text() == "hello"


def test_imports_are_checked(store: Store, tmp_path: Path) -> None:
    make(store)
    path = store.path("datasets", "shop-1") / "data.txt"
    archive = export_archive(store, "datasets", "shop-1", tmp_path / "shop.tar.gz")
    path.write_text("tampered")
    with tarfile.open(archive, "w:gz") as tar:
        for file in (path, path.with_name(MANIFEST)):
            tar.add(file, arcname=f"datasets/shop-1/{file.name}")
    other = Store(tmp_path / "other")
    with pytest.raises(UserError, match=r"data\.txt does not match its checksum"):
        import_archive(other, archive)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as tar:
        tar.add(path, arcname="../../outside.txt")
    with pytest.raises(UserError, match="not an archive llmesr exported"):
        import_archive(other, evil)
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(UserError, match="not an archive"):
        import_archive(other, tmp_path / "text.tar.gz")
    assert not (tmp_path / "outside.txt").exists()


WRITER = """
import sys, time
from llmesr.store import Store
with Store(sys.argv[1]).draft("datasets", "half-1", name="half") as draft:
    (draft.path / "half.txt").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
HOLDER = """
import sys, time
from llmesr.store import Store
with Store(sys.argv[1]).hold("datasets", "shop-1"):
    print("holding", flush=True)
    time.sleep(60)
"""


def started(program: str, store: Store) -> subprocess.Popen[str]:
    """Another process, when it has said that it is at work."""
    process = subprocess.Popen([sys.executable, "-c", program, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def hidden(store: Store) -> list[str]:
    return [p.name for p in store.root.rglob(".*") if p.is_dir()]


def grow_old(store: Store, monkeypatch: pytest.MonkeyPatch, days: float = 1 / 24) -> None:
    """Everything hidden was made long ago, as far as the clock tells."""
    now = time.time()
    monkeypatch.setattr("llmesr.store.leftovers.time.time", lambda: now + days * 86_400)


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = started(WRITER, store)
    grow_old(store, monkeypatch)
    store.heal()
    assert len(hidden(store)) == 1  # it still writes, however long that takes
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert store.list("datasets") == []  # listing heals too
    assert hidden(store) == []


def test_an_artifact_whose_replacement_was_killed_between_two_renames_is_put_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = make(store)
    folder = store.path("datasets", "shop-1")
    folder.rename(folder.with_name(".replaced.shop-1.123"))
    grow_old(store, monkeypatch)
    assert store.list("datasets") == [original]
    assert hidden(store) == []


def test_a_deletion_that_was_killed_is_finished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    folder = store.path("datasets", "shop-1")
    folder.rename(folder.with_name(".deleted.shop-1.123"))
    grow_old(store, monkeypatch)
    store.heal()
    assert hidden(store) == []
    assert store.list("datasets") == []


def test_whatever_lies_under_the_root_can_be_deleted(store: Store) -> None:
    make(store)
    (store.root / "datasets" / "no-manifest").mkdir()
    (store.root / "datasets" / "no-manifest" / "data.txt").write_text("x")
    (store.root / "datasets" / "odd name").mkdir()
    (store.path("datasets", "shop-1") / MANIFEST).write_text("{")
    assert set(store.broken("datasets")) == {"no-manifest", "odd name", "shop-1"}
    for id in store.ids("datasets"):
        store.delete("datasets", id)
    assert store.ids("datasets") == []
    with pytest.raises(UserError, match="no dataset"):
        store.delete("datasets", "../datasets")


def test_what_has_no_manifest_gives_way_to_an_artifact(store: Store) -> None:
    store.path("datasets", "shop-1").mkdir(parents=True)
    with pytest.raises(UserError, match="incomplete: .* is missing. `llmesr delete datasets shop-1` removes it"):
        store.manifest("datasets", "shop-1")
    assert make(store).id == "shop-1"


def test_one_at_a_time_works_on_an_artifact(store: Store) -> None:
    nothing = pytest.raises(UserError, match="There is no dataset 'shop-1'")
    with nothing, store.hold("datasets", "shop-1"):
        raise AssertionError("there is nothing to hold")
    assert store.ids("datasets") == []
    make(store)
    holder = started(HOLDER, store)
    try:
        busy = pytest.raises(UserError, match=rf"'shop-1' is being worked on \(process {holder.pid}\)")
        with busy, store.hold("datasets", "shop-1"):
            raise AssertionError("both have it")
        with pytest.raises(UserError, match="stop that first, then delete it"):
            store.delete("datasets", "shop-1")
    finally:
        holder.kill()
        holder.wait()
    with store.hold("datasets", "shop-1"):  # a lock dies with its holder
        pass
    store.delete("datasets", "shop-1")


def named_as_before(store: Store, name: str) -> Path:
    """A folder as versions before hid it: the artifact's id and eight letters, with nobody's lock."""
    folder = store.path("datasets", "shop-1")
    hidden = folder.with_name(name)
    folder.rename(hidden)
    return hidden


def test_what_versions_before_left_goes_after_a_day_and_a_whole_artifact_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = make(store)
    half = named_as_before(store, ".shop-1-k3_x9abz")
    (half / MANIFEST).rename(half / "else")
    make(store)
    whole = named_as_before(store, ".shop-1-0a1b2c3d")
    (store.root / ".import-abcdefgh").mkdir()
    (store.root / "datasets" / ".checkpoints-of-mine").mkdir()
    grow_old(store, monkeypatch)
    store.heal()
    assert (half.exists(), whole.exists()) == (True, True)  # an hour is too short
    grow_old(store, monkeypatch, days=2)
    store.heal()
    assert hidden(store) == [".checkpoints-of-mine"]
    assert [m.id for m in store.list("datasets")] == [original.id]


def test_a_clock_that_went_back_keeps_nothing_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    folder = store.path("datasets", "shop-1")
    folder.rename(folder.with_name(".deleted.shop-1.123"))
    grow_old(store, monkeypatch, days=-400)
    store.heal()
    assert hidden(store) == []


@pytest.mark.parametrize("id", ["", "../elsewhere", ".hidden", "a/b", "9" * 3000, "a\n", "x\x00y"])
def test_what_is_no_id_is_a_sentence_wherever_it_comes_from(id: str, store: Store) -> None:
    for ask in (store.exists, store.manifest, store.digest):
        with pytest.raises(UserError, match="is not an artifact id"):
            ask("runs", id)
    assert store.stamp("runs", id) is None
