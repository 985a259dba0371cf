"""What the app keeps: once per question, anew when an artifact changed, apart for two roots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from factories import make_dataset

from llmesr.data.dataset import save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.cache.kept import clear, digests, file_state, kept


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    clear()
    yield
    clear()


calls: list[object] = []


@kept(digests(id="datasets"), entries=4)
def shared(root: Store, id: str, thresholds: Thresholds, k: int = 3) -> list[object]:
    calls.append((root.root, id, thresholds, k))
    return [id, thresholds, k]


@kept(digests(lineup="datasets"), entries=4, copies=True)
def copied(root: Store, lineup: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    calls.append(lineup)
    return pd.DataFrame({"name": list(lineup)})


@kept(file_state, entries=4)
def content(path: Path) -> str:
    calls.append(path)
    return path.read_text()


@pytest.fixture(autouse=True)
def uncounted() -> None:
    calls.clear()


def test_the_same_question_is_answered_once_however_it_is_spelled(store: Store) -> None:
    id, here = make_dataset(store, users=30, items=20).id, Thresholds(item=3, user=4)
    first = shared(store, id, here)
    assert shared(Store(store.root), id, thresholds=Thresholds(item=3, user=4), k=3) is first
    assert shared(store, id, Thresholds(item=4, user=4)) == [id, Thresholds(item=4, user=4), 3]
    assert shared(store, id, here, k=5)[2] == 5
    assert len(calls) == 3


def test_a_changed_artifact_is_read_anew(store: Store) -> None:
    id = make_dataset(store, users=30, items=20).id
    assert artifacts.dataset(store, id) is artifacts.dataset(store, id)
    save_thresholds(store, id, Thresholds(item=7, user=9))
    assert artifacts.dataset(store, id).thresholds == Thresholds(item=7, user=9)


def test_two_roots_never_mix(store: Store, tmp_path: Path) -> None:
    id = make_dataset(store, users=30, items=20).id
    shutil.copytree(store.root, tmp_path / "other")
    other = Store(tmp_path / "other")
    assert artifacts.dataset(store, id) is not artifacts.dataset(other, id)


def test_an_artifact_that_is_gone_is_a_sentence(store: Store) -> None:
    id = make_dataset(store, users=30, items=20).id
    shared(store, id, Thresholds(item=1, user=1))
    store.delete("datasets", id)
    with pytest.raises(UserError, match="There is no dataset .* any more"):
        shared(store, id, Thresholds(item=1, user=1))


def test_copies_may_be_changed_and_the_order_of_a_lineup_counts(store: Store) -> None:
    one, two = (make_dataset(store, users=30, items=20).id for _ in range(2))
    lineup = {"a": (one,), "b": (two, one)}
    mine = copied(store, lineup)
    mine["name"] = "changed"
    assert list(copied(store, lineup)["name"]) == ["a", "b"]
    assert list(copied(store, dict(reversed(lineup.items())))["name"]) == ["b", "a"]
    assert len(calls) == 2


def test_a_file_is_read_anew_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("one")
    assert [content(path), content(path)] == ["one", "one"]
    path.write_text("another")
    assert content(path) == "another"
    assert len(calls) == 2
