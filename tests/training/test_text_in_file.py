"""Item text that stays in its file: a run learns, ranks and is opened as with all of it in memory, bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from llmesr.config import EmbedConfig, RunConfig
from llmesr.config.needs import TEXT_IN_FILE_FROM, text_in_file
from llmesr.data import row_file
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.models.adapted_table import AdaptedTable
from llmesr.models.scorers import NeuralScorer
from llmesr.runs.record import MODEL
from llmesr.semantic.embed import Embedding, embed
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store
from llmesr.training.inputs import reload
from llmesr.training.model import load_model
from llmesr.training.train import train

SMALL = {"embedding_size": 8, "epochs": 2, "max_length": 8, "loss": "sampled", "negatives": 16}


def embedded(data: Dataset, store: Store, folder: Path, storage: str) -> Embedding:
    """Random vectors; the third item has none."""
    rows = np.random.default_rng(0).normal(size=(data.n_items, 12)).astype(np.float32)
    rows[2] = 0
    file = write_vectors(folder / "vectors.npz", rows, data.catalogue["item_id"].tolist())
    return embed(data, EmbedConfig.read(None, embedder=f"file:{file}", storage=storage), store)


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "llm-esr"},
        {"method": "llm-esr", "adapter_init": "pca", "backbone": "bert4rec", "loss": "gbce", "negatives": 4},
        {"method": "adapter", "adapter_layers": 1},
        {"method": "llmemb"},
    ],
    ids=lambda settings: "-".join(str(value) for value in settings.values()),
)
def test_a_run_is_the_same_bit_for_bit(
    tiny: Dataset, store: Store, tmp_path: Path, settings: dict[str, Any], storage: str
) -> None:
    text = embedded(tiny, store, tmp_path, storage)
    config = RunConfig.read(None, **{**SMALL, **settings})
    held, read = (train(tiny, config.but(text_table=where), store, embedding=text) for where in ("memory", "file"))
    first, second = (load_file(run.folder / MODEL) for run in (held, read))
    assert all(torch.equal(first[name], second[name]) for name in first)
    columns = ["user", "part", "protocol", "rank"]
    assert held.per_user()[columns].equals(read.per_user()[columns])
    table = load_model(read, reload(read, tiny)).tables["semantic"]
    assert isinstance(table, AdaptedTable)
    assert table.file is not None
    assert not table.text.numel()


def test_nothing_asks_for_all_of_the_text(
    tiny: Dataset, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = embedded(tiny, store, tmp_path, "float16")
    largest = [0]

    def reading(self: RowFile, rows: Any) -> np.ndarray:
        found = single(self, rows)
        largest[0] = max(largest[0], len(found))
        return found

    def whole(self: RowFile) -> np.ndarray:
        raise AssertionError("all of it")

    single = RowFile.__getitem__
    monkeypatch.setattr(RowFile, "__getitem__", reading)
    monkeypatch.setattr(RowFile, "whole", whole)
    settings = {**SMALL, "batch_size": 2, "negatives": 4, "max_length": 3, "all_windows": False, "epochs": 1}
    run = train(tiny, RunConfig.read(None, method="llm-esr", text_table="file", **settings), store, embedding=text)
    assert largest[0] == tiny.n_items  # rankings, and the start, in one block of so few items
    model = load_model(run, reload(run, tiny))
    largest[0] = 0
    model.embed_items(torch.tensor([[3, 0, 3], [5, tiny.n_items + 1, 4]]))
    assert largest[0] == 3, "a batch asks for an item once, and for no padding and no mask"
    evaluate(NeuralScorer(model), tiny, "test", max_length=8)


def test_other_text_is_held_from_then_on(tiny: Dataset, store: Store, tmp_path: Path) -> None:
    text = embedded(tiny, store, tmp_path, "int8")
    config = RunConfig.read(None, method="adapter", **SMALL)
    other, tables = torch.randn(2, 12), []
    for where in ("memory", "file"):
        run = train(tiny, config.but(text_table=where), store, embedding=text)
        table = copy.deepcopy(load_model(run, reload(run, tiny)).tables["semantic"])
        assert isinstance(table, AdaptedTable)
        table.place(torch.tensor([2, tiny.n_items + 1]), other)
        tables.append(table)
    assert tables[1].file is None
    assert torch.equal(tables[0].weight(), tables[1].weight())


def test_large_text_stays_in_its_file_by_itself() -> None:
    sampled = RunConfig.read(None, method="llm-esr", loss="sampled")
    assert text_in_file(sampled, TEXT_IN_FILE_FROM)
    assert not text_in_file(sampled, TEXT_IN_FILE_FROM - 1)
    assert not text_in_file(sampled.but(text_table="memory"), TEXT_IN_FILE_FROM)
    for change in ({"loss": "ce"}, {"freeze_text": False}, {"semantic_view": False}, {"teacher": "a-run"}):
        assert not text_in_file(sampled.but(**change), TEXT_IN_FILE_FROM), change


def test_a_start_from_text_in_int8_never_holds_it(
    tiny: Dataset, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llm-init reads the text once, for its start."""
    text = embedded(tiny, store, tmp_path, "int8")
    monkeypatch.setattr(RowFile, "whole", lambda self: pytest.fail("all of it"))
    train(tiny, RunConfig.read(None, method="llm-init", **SMALL), store, embedding=text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "ce"}, "needs freeze_text=true, a loss that looks at some items only"),
        ({"freeze_text": False}, "needs freeze_text=true"),
        ({"teacher": "a-run"}, "no teacher"),
        ({"method": "llmemb", "adapter": False}, "llmemb has one with adapter=true"),
        ({"semantic_view": False}, "llm-esr with its semantic_view"),
    ],
)
def test_what_needs_all_text_at_once_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        RunConfig.read(None, **{"method": "llm-esr", "loss": "sampled", "text_table": "file", **changes})


def test_a_damaged_file_is_named_before_anything_is_trained(
    tiny: Dataset, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmesr.semantic.embed import VECTORS, load_embedding

    text = embedded(tiny, store, tmp_path, "int8")
    path = store.path("embeddings", text.id) / VECTORS
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="is damaged: it is shorter than it says"):
        load_embedding(store, text.id)
