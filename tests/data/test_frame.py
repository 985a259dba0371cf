"""Mapped datasets are those in memory, and their files are made again whenever they are not what they should be."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmesr.config import RunConfig, SplitConfig
from llmesr.data import frame, split
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.frame import INTERACTIONS
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.repair import repair
from llmesr.semantic.embed import histories_digest
from llmesr.store import Store, examine, export_archive
from llmesr.training.train import train


@pytest.fixture
def mapped(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The tiny dataset mapped, in batches that are shorter than it."""
    monkeypatch.setattr(frame, "MAPPED_FROM", 0)
    monkeypatch.setattr(frame, "_BATCH", 50)
    monkeypatch.setattr(frame, "_TEXTS", 7)
    return load_dataset(store, tiny.id)


def place(store: Store, dataset: Dataset) -> Path:
    return store.path("datasets", dataset.id) / ".mapped"


def same(one: Dataset, other: Dataset) -> None:
    """Every array and text of ``one`` is that of ``other``."""
    for name in ("offsets", "items", "timestamps"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert list(one.user_ids) == list(other.user_ids)
    pd.testing.assert_frame_equal(one.catalogue, other.catalogue)


def test_what_is_mapped_is_what_is_in_memory(store: Store, tiny: Dataset, mapped: Dataset) -> None:
    assert isinstance(mapped.items.base, np.memmap)
    same(mapped, tiny)
    assert histories_digest(mapped) == histories_digest(tiny)
    assert mapped.user(str(tiny.user_ids[7])) == 7
    assert mapped.user_ids[np.array([3, 1])].tolist() == tiny.user_ids[[3, 1]].tolist()


def test_a_run_on_it_is_the_same_run(store: Store, tiny: Dataset, mapped: Dataset) -> None:
    config = RunConfig.read(None, method="id", epochs=2, embedding_size=8, layers=1)
    ours, theirs = train(mapped, config, store), train(tiny, config, store)
    pd.testing.assert_frame_equal(ours.per_user(), theirs.per_user())
    assert ours.manifest.files["model.safetensors"] == theirs.manifest.files["model.safetensors"]


def test_a_temporal_split_of_it_is_the_same_split(
    store: Store, tiny: Dataset, mapped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "_AT_ONCE", 25)
    ours = resplit(mapped, SplitConfig(kind="temporal"), store)
    monkeypatch.undo()
    theirs = load_dataset(store, ours.id)
    for part in split.PARTS:
        np.testing.assert_array_equal(ours.split.users(part), theirs.split.users(part))
        np.testing.assert_array_equal(ours.split.input_lengths(part), theirs.split.input_lengths(part))
    np.testing.assert_array_equal(ours.split.train_items, theirs.split.train_items)
    np.testing.assert_array_equal(ours.item_counts, theirs.item_counts)


def test_stretches_hold_every_user_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_AT_ONCE", 10)
    offsets = np.array([0, 4, 4, 9, 30, 31, 41])  # one user has more than fit, one has nothing
    assert list(split.stretches(offsets)) == [slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 6)]


def test_small_datasets_are_read_and_leave_nothing(store: Store, tiny: Dataset) -> None:
    assert not place(store, tiny).exists()


def test_what_is_written_is_opened_again(
    store: Store, tiny: Dataset, mapped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "_write", None)
    same(load_dataset(store, mapped.id), tiny)


def test_it_is_made_again_when_the_dataset_has_changed(store: Store, mapped: Dataset) -> None:
    path = store.path("datasets", mapped.id) / INTERACTIONS
    rows = pd.read_parquet(path)
    rows.assign(item=rows["item"].to_numpy()[::-1]).to_parquet(path, index=False)
    np.testing.assert_array_equal(load_dataset(store, mapped.id).items, mapped.items[::-1])


def test_it_is_made_again_when_it_is_cut_short_or_half_written(store: Store, tiny: Dataset, mapped: Dataset) -> None:
    short = place(store, mapped) / "items.npy"
    os.truncate(short, short.stat().st_size - 4)
    same(load_dataset(store, mapped.id), tiny)
    (place(store, mapped) / "made-of.json").unlink()  # written last: whoever was killed before has not written it
    (place(store, mapped) / "users.arrow").write_bytes(b"half")
    same(load_dataset(store, mapped.id), tiny)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"sources": 5, "files": []}', b"[" * 100_000])
def test_it_is_made_again_when_its_record_is_damaged(
    content: bytes, store: Store, tiny: Dataset, mapped: Dataset
) -> None:
    record = place(store, mapped) / "made-of.json"
    record.write_bytes(content)
    assert [f.what for f in examine(store)]
    same(load_dataset(store, mapped.id), tiny)
    assert examine(store) == []


@pytest.mark.parametrize("name", ["items.npy", "offsets.npy", "users.arrow", "catalogue.arrow"])
def test_it_is_made_again_when_it_cannot_be_opened(name: str, store: Store, tiny: Dataset, mapped: Dataset) -> None:
    path = place(store, mapped) / name
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)  # of the right size, as after a power cut
    same(load_dataset(store, mapped.id), tiny)
    assert examine(store) == []


def test_who_has_it_open_keeps_it_while_it_is_made_again(store: Store, tiny: Dataset, mapped: Dataset) -> None:
    (place(store, mapped) / "made-of.json").unlink()
    again = load_dataset(store, mapped.id)
    same(mapped, tiny)
    same(again, tiny)


def test_a_damaged_dataset_is_said_to_be_damaged(store: Store, mapped: Dataset) -> None:
    path = store.path("datasets", mapped.id) / INTERACTIONS
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="is damaged"):
        load_dataset(store, mapped.id)


def test_a_flipped_bit_is_found_and_repaired(store: Store, tiny: Dataset, mapped: Dataset) -> None:
    assert examine(store) == []
    path = place(store, mapped) / "items.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (finding,) = examine(store)
    assert finding.file == ".mapped/items.npy"
    (outcome,) = repair(store, [finding])
    assert outcome.whole
    assert "made again" in outcome.what
    same(load_dataset(store, mapped.id), tiny)
    assert examine(store) == []


def test_it_stays_out_of_archives_and_goes_with_the_dataset(store: Store, mapped: Dataset, tmp_path: Path) -> None:
    assert place(store, mapped).is_dir()
    archive = export_archive(store, "datasets", mapped.id, tmp_path / "data.tar.gz")
    with tarfile.open(archive) as tar:
        assert [name for name in tar.getnames() if "mapped" in name] == []
    store.delete("datasets", mapped.id)
    assert not place(store, mapped).exists()


def test_a_folder_that_cannot_be_written_to_is_read(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "MAPPED_FROM", 0)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = load_dataset(store, tiny.id)
    assert not isinstance(found.items.base, np.memmap)
    assert not place(store, tiny).exists()
    monkeypatch.undo()
    monkeypatch.setattr(frame, "MAPPED_FROM", 0)
    load_dataset(store, tiny.id)
    monkeypatch.setattr(os, "access", lambda *_: False)  # what is there is used
    assert isinstance(load_dataset(store, tiny.id).items.base, np.memmap)
