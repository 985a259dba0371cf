"""Vectors in float16 and int8: the same numbers but for their last digits, written in blocks and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import make_embedding
from safetensors.numpy import load_file

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data import row_file
from llmesr.data.dataset import Dataset
from llmesr.data.int8_rows import quantised, restored
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.models.adapted_table import AdaptedTable
from llmesr.models.scorers import NeuralScorer
from llmesr.semantic import embed as embedding
from llmesr.semantic.embed import embed
from llmesr.semantic.embedders.precomputed import write_vectors as write_file
from llmesr.semantic.vector_file import read_vectors, write_vectors
from llmesr.store import Store
from llmesr.training import inputs, user_states
from llmesr.training.inputs import reload
from llmesr.training.model import load_model
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
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0 if mapped else 10**9)
    rows, of_users = read_vectors(path)
    assert isinstance(rows.whole().base, np.memmap) is mapped
    np.testing.assert_array_equal(rows.whole(), items)
    np.testing.assert_array_equal(of_users, users)


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


def test_int8_is_half_a_step_from_the_row() -> None:
    rows = torch.tensor([[127.0, -127.0, 3.4, 0.0], [0.0, 0.0, 0.0, 0.0], [1e-3, -5e-4, 0.0, 2e-4]])
    codes, scales = quantised(rows)
    assert codes.dtype == torch.int8
    assert codes[0].tolist() == [127, -127, 3, 0]
    assert scales[1] == 0
    assert ((restored(codes, scales) - rows).abs() <= scales[:, None] / 2 + 1e-9).all()
    again, same = quantised(restored(codes, scales).half())  # as a file gives it back
    assert torch.equal(again, codes)
    torch.testing.assert_close(same, scales, rtol=1e-3, atol=0)


@pytest.mark.parametrize("mapped", [True, False])
def test_items_in_int8_take_a_quarter_and_users_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float16)
    items[2] = users[2] = 0
    path = tmp_path / "vectors.safetensors"
    assert write_vectors(path, items, (users[:4], users[4:]), 7, int8=True) == 1
    assert load_file(path)["items"].dtype == np.int8  # as everybody else reads it
    assert path.stat().st_size < 400 + 5 * 3 + 5 * 4 + 7 * 3 * 2
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0 if mapped else 10**9)
    rows, of_users = read_vectors(path)
    np.testing.assert_allclose(rows.whole(), items, atol=np.abs(items).max() / 200)
    assert not rows[2:3].any()
    np.testing.assert_array_equal(of_users, users)


def test_int8_is_a_storage_of_its_own(tiny: Dataset, store: Store, given: Path) -> None:
    config = EmbedConfig(embedder=f"file:{given}")
    single, eight = embed(tiny, config, store), embed(tiny, config.but(storage="int8"), store)
    assert single.id != eight.id
    assert (eight.int8, single.int8) == (True, False)
    assert eight.manifest.info["storage"] == "int8"
    np.testing.assert_allclose(eight.item_vectors, single.item_vectors, atol=0.02)
    np.testing.assert_allclose(eight.user_vectors, single.user_vectors, atol=2e-3)


def test_numbers_too_large_are_refused(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    rows = np.full((tiny.n_items, 4), 1e6, np.float32)
    file = write_file(tmp_path / "large.npz", rows, tiny.catalogue["item_id"].tolist())
    for storage in ("float16", "int8"):
        with pytest.raises(UserError, match="too large for float16"):
            embed(tiny, EmbedConfig.read(None, embedder=f"file:{file}", storage=storage), store)


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


@pytest.mark.parametrize("layers", [1, 2])
def test_a_frozen_table_stays_int8_and_gives_nearly_the_same(layers: int) -> None:
    text = torch.randn(9, 6)
    text[0] = text[4] = 0
    tables = []
    for int8 in (False, True):
        torch.manual_seed(0)
        tables.append(AdaptedTable(text, 4, layers=layers, scaled=True, sparse=True, int8=int8))
    single, eight = tables
    assert eight.text.dtype == torch.int8
    torch.testing.assert_close(eight.weight(), single.weight(), atol=0.05, rtol=0)
    torch.testing.assert_close(eight(torch.tensor([[3, 0], [4, 9]])), eight.weight()[torch.tensor([[3, 0], [4, 9]])])
    assert not eight.weight()[4].any()
    for table in tables:
        table.place(torch.tensor([2, 9]), text[[3, 5]])
    torch.testing.assert_close(eight.weight(), single.weight(), atol=0.05, rtol=0)
    assert len(eight.weight()) == 11
    assert AdaptedTable(text, 4, frozen=False, int8=True).text.dtype == torch.float32


@pytest.mark.parametrize("method", ["llm-esr", "adapter"])
def test_a_run_on_int8_is_opened_as_it_was_trained(method: str, tiny: Dataset, store: Store, given: Path) -> None:
    eight = embed(tiny, EmbedConfig(embedder=f"file:{given}", storage="int8"), store)
    config = RunConfig.read(None, method=method, embedding_size=8, epochs=1, max_length=8)
    run = train(tiny, config, store, embedding=eight)
    model = load_model(run, reload(run, tiny))
    table = model.tables["semantic"]
    assert isinstance(table, AdaptedTable)
    assert table.text.dtype == torch.int8
    again = evaluate(NeuralScorer(model), tiny, "test", max_length=8)
    kept = run.per_user()
    assert (again.frame["rank"].to_numpy() == kept.loc[kept["part"] == "test", "rank"].to_numpy()).all()


def test_a_run_learns_from_half_vectors_and_teachers(
    tiny: Dataset, store: Store, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_states, "HALF_FROM", 10)
    monkeypatch.setattr(inputs, "FEW_KEPT_FROM", 10)
    half = embed(tiny, EmbedConfig(embedder=f"file:{given}", storage="float16"), store)
    config = RunConfig.read(None, method="llm-esr", embedding_size=8, epochs=2, neighbours=3, max_length=8)
    run = train(tiny, config, store, embedding=half)
    assert np.isfinite(run.events()["loss/distillation"]).all()
    near = store.manifest("neighbours", str(run.manifest.parent("neighbours")))
    assert (near.config["neighbours"], near.config["recall"]) == (3, 0.95)


@pytest.mark.parametrize(("users", "given", "recall"), [(5, None, 0.5), (5, 0.9, 0.9), (10**6, None, 0.95)])
def test_of_very_many_users_a_lower_recall_will_do(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch, users: int, given: float | None, recall: float
) -> None:
    monkeypatch.setattr(inputs, "LOWER_RECALL_FROM", users)
    config = RunConfig.read(None, method="llm-esr", neighbours=3, neighbour_recall=given, embedding_size=8)
    prepared = inputs.prepare(tiny, config, store, embedding=make_embedding(store, tiny))
    near = store.manifest("neighbours", next(p.id for p in prepared.parents if p.kind == "neighbours"))
    assert near.config["recall"] == recall
