"""What every test may use: an artifact root of its own and a small dataset in it."""

from __future__ import annotations

import os
from pathlib import Path

# Tiny tensors gain nothing from threads, and threads that wait for each other on a busy machine cost a lot.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A console that is made with a width in the environment keeps it, whatever a test says afterwards.
os.environ.pop("COLUMNS", None)

import pytest
from factories import make_dataset

from llmesr.data.dataset import Dataset
from llmesr.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty artifact root, also the one commands use."""
    root = tmp_path / "artifacts"
    root.mkdir()
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(root))
    return Store(root)


@pytest.fixture
def tiny(store: Store) -> Dataset:
    """About 120 users and 60 items whose text says what they are."""
    return make_dataset(store, name="tiny", seed=1)
