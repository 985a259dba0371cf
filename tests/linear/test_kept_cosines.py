"""Cosines on disk are those that are reckoned, of their own training part, and are made again when they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from llmesr.data.dataset import Dataset
from llmesr.linear import kept
from llmesr.linear.kept import cosine_rows
from llmesr.linear.rows import Rows
from llmesr.store import Store, examine


@pytest.fixture
def folder(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``tiny`` lies, which counts as large."""
    monkeypatch.setattr(kept, "KEPT_FROM", 0)
    return store.path("datasets", tiny.id)


def same(one: Rows, other: Rows) -> bool:
    pairs = zip((one.starts, one.candidates, one.values), (other.starts, other.candidates, other.values), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def reckoned(dataset: Dataset) -> Rows:
    return Rows.of_matrix(dataset.item_cosines)


def test_they_are_reckoned_once(folder: Path, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reckoned(tiny)
    assert same(cosine_rows(tiny, folder), expected)
    monkeypatch.setattr(Rows, "of_matrix", None)  # whoever reckons fails
    assert same(cosine_rows(tiny, folder), expected)


def test_another_training_part_has_others(folder: Path, tiny: Dataset) -> None:
    whole = cosine_rows(tiny, folder)
    fewer = tiny.without(np.arange(0, tiny.n_users, 2))
    assert same(cosine_rows(fewer, folder), reckoned(fewer))
    assert not same(cosine_rows(fewer, folder), whole)
    assert len([*folder.glob(".cosines-*")]) == 2


def test_what_cannot_be_read_is_made_again(folder: Path, store: Store, tiny: Dataset) -> None:
    cosine_rows(tiny, folder)
    expected = reckoned(tiny)  # not what is mapped of the file
    (file,) = folder.glob(".cosines-*/values.npy")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert any(finding.damaged for finding in examine(store))
    assert same(cosine_rows(tiny, folder), expected)  # reckoned, and the file is forgotten
    assert same(cosine_rows(tiny, folder), expected)
    assert np.load(file).any()


def test_small_datasets_and_folders_that_are_not_known_keep_nothing(store: Store, tiny: Dataset) -> None:
    place = store.path("datasets", tiny.id)
    assert same(cosine_rows(tiny, place), reckoned(tiny))
    assert same(cosine_rows(tiny), reckoned(tiny))
    assert not [*place.glob(".cosines-*")]
