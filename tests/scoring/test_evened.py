"""Text on disk is what is worked out, of its own whitening, and is made again when damaged or of other vectors."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import make_embedding

from llmesr.data.dataset import Dataset
from llmesr.scoring import evened as module
from llmesr.scoring.evened import FILE, evened
from llmesr.semantic.embed import VECTORS
from llmesr.store import Store, examine


@pytest.fixture
def text(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Vectors of a stored embedding, which counts as large."""
    monkeypatch.setattr(module, "KEPT_FROM", 0)
    return make_embedding(store, tiny).padded()


@pytest.fixture
def folder(store: Store, text: np.ndarray) -> Path:
    return store.path("embeddings", store.ids("embeddings")[0])


def test_it_is_worked_out_once(text: np.ndarray, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = evened(text, 0.5)
    assert torch.allclose(expected[1:].norm(dim=1), torch.ones(len(text) - 1))
    assert torch.equal(evened(text, 0.5, folder), expected)
    monkeypatch.setattr(module, "whitened", None)  # whoever works it out fails
    assert torch.equal(evened(text, 0.5, folder), expected)


def test_each_whitening_has_its_own(text: np.ndarray, folder: Path) -> None:
    kept = [evened(text, whitening, folder) for whitening in (0.5, 1.0)]
    assert not torch.equal(*kept)
    assert len([*folder.glob(f".text-*/{FILE}")]) == 2


def test_what_is_damaged_or_of_other_vectors_is_made_again(
    text: np.ndarray, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = evened(text, 0.5)
    evened(text, 0.5, folder)
    (file,) = folder.glob(f".text-*/{FILE}")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert any(finding.damaged for finding in examine(store))
    assert torch.equal(evened(text, 0.5, folder), expected)  # worked out, and the file is forgotten
    assert torch.equal(evened(text, 0.5, folder), expected)
    assert np.load(file).any()
    vectors = folder / VECTORS
    os.utime(vectors, ns=(1, vectors.stat().st_mtime_ns + 1))
    monkeypatch.setattr(module, "whitened", lambda text, whitening: 2 - torch.from_numpy(text))
    assert not torch.equal(evened(text, 0.5, folder), expected)


def test_little_text_and_text_as_it_is_are_not_kept(
    text: np.ndarray, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evened(text, 0.0, folder)
    monkeypatch.setattr(module, "KEPT_FROM", text.size * 4 + 1)
    evened(text, 0.5, folder)
    assert not [*folder.glob(".text-*")]


def test_in_a_folder_that_may_only_be_read_it_is_worked_out(
    text: np.ndarray, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(evened(text, 0.5, folder), evened(text, 0.5))
    assert "may only be read" in caplog.text


def test_a_full_disk_keeps_nothing_and_is_not_filled(
    text: np.ndarray, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, array: np.ndarray) -> None:
        path.write_bytes(array.tobytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(evened(text, 0.5, folder), evened(text, 0.5))
    assert "No space left" in caplog.text
    assert not [*folder.glob(f".text-*/{FILE}")]
