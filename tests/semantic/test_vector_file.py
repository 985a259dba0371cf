"""Vectors in float16: the same numbers but for their last digits, written in blocks and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.models.tables import AdaptedTable
from llmesr.semantic import embed as embedding
from llmesr.semantic import vector_file
from llmesr.semantic.embed import embed
from llmesr.semantic.embedders.precomputed import write_vectors as write_file
from llmesr.semantic.vector_file import read_vectors, write_vectors
from llmesr.store import Store
from llmesr.training import inputs, loop
from llmesr.training.train import train


@pytest.fixture
def given(tiny: Dataset, tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(tiny.n_items, 12)).astype(np.float32)
    return write_file(tmp_path / "vectors.npz", rows, tiny.catalogue["item_id"].tolist())


@pytest.mark.parametrize("mapped", [True, False])
def test_blocks_are_a_safetensors_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool) -> None:
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(5, 3)).astype(np.float16), rng.normal(size=(7, 3)).astype(np.float16)
    users[2] = 0
    path = tmp_path / "vectors.safetensors"
    assert write_vectors(path, items, (users[:4], users[4:]), 7) == 1
    np.testing.assert_array_equal(load_file(path)["users"], users)  # as everybody else reads it
    monkeypatch.setattr(vector_file, "MAPPED_FROM", 0 if mapped else 10**9)
    found = read_vectors(path)
    np.testing.assert_array_equal(found[0], items)
    np.testing.assert_array_equal(found[1], users)


def test_storage_is_a_setting_and_float16_for_many(
    tiny: Dataset, store: Store, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EmbedConfig(embedder=f"file:{given}")
    monkeypatch.setattr(embedding, "_USERS_AT_ONCE", 50)
    single = embed(tiny, config, store)
    half = embed(tiny, config.but(storage="float16"), store)
    assert (single.item_vectors.dtype.name, half.user_vectors.dtype.name) == ("float32", "float16")
    assert single.id != half.id
    assert embed(tiny, config.but(storage="float32"), store).id == single.id
    np.testing.assert_allclose(half.user_vectors, single.user_vectors, atol=2e-3)
    assert half.manifest.info["users_without_vector"] == single.manifest.info["users_without_vector"]
    monkeypatch.setattr(embedding, "HALF_FROM", 10)
    assert embed(tiny, config, store).id == half.id


def test_numbers_too_large_are_refused(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    rows = np.full((tiny.n_items, 4), 1e6, np.float32)
    file = write_file(tmp_path / "large.npz", rows, tiny.catalogue["item_id"].tolist())
    with pytest.raises(UserError, match="too large for float16"):
        embed(tiny, EmbedConfig(embedder=f"file:{file}", storage="float16"), store)


def test_a_frozen_table_stays_half_and_gives_nearly_the_same() -> None:
    text = torch.randn(9, 6)
    text[0] = 0
    torch.manual_seed(0)
    single = AdaptedTable(text, 4, scaled=True)
    torch.manual_seed(0)
    half = AdaptedTable(text.half(), 4, scaled=True)
    assert half.text.dtype == torch.float16
    assert half.weight().dtype == torch.float32
    torch.testing.assert_close(half.weight(), single.weight(), atol=5e-3, rtol=0)
    torch.testing.assert_close(half(torch.tensor([3, 0])), half.weight()[[3, 0]])
    assert AdaptedTable(text.half(), 4, frozen=False).text.dtype == torch.float32


def test_a_run_learns_from_half_vectors_and_teachers(
    tiny: Dataset, store: Store, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HALF_FROM", 10)
    monkeypatch.setattr(inputs, "FEW_KEPT_FROM", 10)
    half = embed(tiny, EmbedConfig(embedder=f"file:{given}", storage="float16"), store)
    config = RunConfig.read(None, method="llm-esr", embedding_size=8, epochs=2, neighbours=3, max_length=8)
    run = train(tiny, config, store, embedding=half)
    assert np.isfinite(run.events()["loss/distillation"]).all()
    near = store.manifest("neighbours", str(run.manifest.parent("neighbours")))
    assert near.config["neighbours"] == 3
