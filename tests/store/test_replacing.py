"""While an artifact is replaced, readers find it; when that is killed, it is back at once; one that is gone is gone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmesr.errors import UserError
from llmesr.store import STATUS, Manifest, Store, derived, locked, write_json

KIND, ID = "maps", "one"


def make(store: Store, text: str = "old") -> Manifest:
    with store.draft(KIND, ID, name=text) as draft:
        write_json(draft.path / STATUS, {"state": "FAILED"})
        (draft.path / "data.txt").write_text(text)
    return store.manifest(KIND, ID)


def killed_between(store: Store) -> Path:
    """As a process leaves it that is killed between two renames; where the artifact belongs."""
    folder = store.path(KIND, ID)
    folder.rename(folder.with_name(f".replaced.{ID}.123"))
    return folder


def test_readers_find_what_is_being_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make(store)
    digest, parent, stamp = store.digest(KIND, ID), store.parent_of(old), store.stamp(KIND, ID)
    rename, asked = Path.rename, list[bool]()

    def asked_before(self: Path, target: Path) -> Path:
        if self.name.startswith(".scratch"):
            reader = Store(store.root)
            assert not reader.path(KIND, ID).exists()
            assert reader.exists(KIND, ID)
            assert reader.ids(KIND) == [ID]
            assert reader.list(KIND) == [old] == [reader.manifest(KIND, ID)]
            assert (reader.digest(KIND, ID), reader.parent_of(old), reader.stamp(KIND, ID)) == (digest, parent, stamp)
            assert not reader.finished(KIND, ID)
            assert not reader.exists(KIND, "on")
            asked.append(True)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", asked_before)
    make(store, "new")
    assert asked == [True]
    assert (store.path(KIND, ID) / "data.txt").read_text() == "new"
    assert [entry.name for entry in (store.root / KIND).iterdir()] == [ID]


@pytest.mark.parametrize("ask", [Store.exists, Store.manifest, Store.digest, Store.stamp])
def test_one_whose_replacement_was_killed_is_back_as_soon_as_it_is_asked_for(
    ask: Callable[[Store, str, str], object], store: Store
) -> None:
    make(store)
    folder = killed_between(store)
    assert ask(store, KIND, ID)
    assert (folder / "data.txt").read_text() == "old"


def test_and_as_soon_as_artifacts_are_listed_held_or_changed(store: Store) -> None:
    old = make(store)
    killed_between(store)
    assert store.list(KIND) == [old]
    killed_between(store)
    with store.hold(KIND, ID):
        pass
    killed_between(store)
    with store.changing(KIND, ID) as manifest:
        manifest.name = "another"
    assert store.manifest(KIND, ID).name == "another"
    killed_between(store)
    store.delete(KIND, ID)
    assert not store.exists(KIND, ID)


def test_what_was_replaced_does_not_come_back_when_the_new_one_is_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store)
    folder = killed_between(store)
    folder.mkdir()
    write_json(folder / "manifest.json", Manifest(kind=KIND, id=ID, name="new", created="2026").model_dump())
    assert [m.name for m in store.list(KIND)] == ["new"]
    store.delete(KIND, ID)
    assert not store.exists(KIND, ID)
    later = time.time() + 3_600
    monkeypatch.setattr("llmesr.store.leftovers.time.time", lambda: later)
    assert store.list(KIND) == []
    assert list((store.root / KIND).iterdir()) == []


def test_a_replacement_that_fails_leaves_the_old_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name.startswith(".scratch"):
            raise PermissionError(str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PermissionError):
        make(store, "new")
    assert (store.path(KIND, ID) / "data.txt").read_text() == "old"


@pytest.mark.parametrize("before", [True, False])
def test_one_that_is_deleted_before_the_lock_is_ours_is_not_held(
    before: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store)
    folder = store.path(KIND, ID)

    @contextlib.contextmanager
    def late(asked: Path, **how: bool) -> Iterator[None]:
        """Another deletes it ``before`` its folder is looked at, or while the lock of it is waited for."""
        if before and asked == folder:
            folder.rename(folder.with_name(f".deleted.{ID}.1"))
        with locked(asked, **how):
            if not before and asked == folder:
                folder.rename(folder.with_name(f".deleted.{ID}.1"))
            yield

    monkeypatch.setattr("llmesr.store.root.locked", late)
    with pytest.raises(UserError, match=r"is not there any more|There is no map"), store.hold(KIND, ID):
        raise AssertionError("there is nothing to hold")
    assert not folder.exists()
    assert store.broken(KIND) == {}


def test_what_two_delete_is_gone_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    folder = store.path(KIND, ID)

    def gone_meanwhile(*_: str) -> list[Manifest]:
        folder.rename(folder.with_name(f".deleted.{ID}.1"))
        return []

    monkeypatch.setattr(store, "children", gone_meanwhile)
    with pytest.raises(UserError, match="There is no map 'one' to delete"):
        store.delete(KIND, ID)
    assert not folder.exists()


def test_a_faster_form_does_not_bring_back_the_folder_of_a_deleted_artifact(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store)
    folder = store.path(KIND, ID)
    monkeypatch.setattr(os, "access", lambda *_: bool(folder.rename(folder.with_name(".deleted.one.1"))))
    with pytest.raises(FileNotFoundError), derived(folder, "mapped", ("data.txt",), lambda place: None):
        raise AssertionError("there is nothing to make it of")
    assert not folder.exists()


def test_a_file_in_the_place_of_an_artifact_is_none(store: Store) -> None:
    old = make(store)
    killed_between(store).write_text("")
    assert not store.exists(KIND, "another")
    with pytest.raises(UserError, match="There is no map 'one' any more"):
        store.digest(KIND, "one")
    assert store.stamp(KIND, "one") is None
    assert store.parent_of(old).digest == ""
