"""Runs whose item vectors start spread over the graph: trained, opened again, and the same as ever without steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from factories import make_embedding

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.record import MODEL
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

SMALL: dict[str, Any] = {"embedding_size": 8, "layers": 1, "epochs": 2, "batch_size": 16, "max_length": 8}


@pytest.mark.parametrize("method", ["id", "llm-init"])
def test_steps_change_the_model_and_none_is_bit_for_bit_today(method: str, store: Store, tiny: Dataset) -> None:
    text = make_embedding(store, tiny)
    models = []
    for change in ({}, {"graph_steps": 0, "graph_weight": 0.5}, {"graph_steps": 2}):
        run = train(tiny, RunConfig.read(None, method=method, **SMALL, **change), store, embedding=text)
        models.append((run.folder / MODEL).read_bytes())
        assert load_scorer(run).score(torch.tensor([[3, 9, 0]])).isfinite().all()
    assert models[0] == models[1]
    assert models[0] != models[2]
