"""A stored linear model that is not one of its dataset is a sentence, not an error of a library."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import MODEL
from llmesr.store import Store
from llmesr.training.checkpoint import load_tensors, save_tensors
from llmesr.training.load import load_scorer
from llmesr.training.train import train

SEQUENCES = torch.tensor([[1, 2, 0]])


def wrong(width: int) -> list[tuple[dict[str, Tensor], dict[str, Any]]]:
    square, few = torch.zeros(width, width), torch.zeros(width, 3)
    items = torch.ones(width, 3, dtype=torch.int32)
    return [
        ({}, {}),
        ({"factors": square}, {}),
        ({"weights": torch.zeros(width)}, {}),
        ({"weights": torch.zeros(4, 4)}, {}),
        ({"weights": few}, {}),
        ({"weights": square.int()}, {}),
        ({"weights": few, "items": items[:, :2]}, {}),
        ({"weights": few, "items": items.float()}, {}),
        ({"weights": few, "items": items + width}, {}),
        ({"weights": few, "items": items - 2}, {}),
        ({"weights": square, "content": few}, {}),
        ({"weights": square}, {"fallback": 3}),
        ({"weights": square}, {"fallback": {"luck": 1.0}}),
        ({"weights": square}, {"fallback": {"popularity": "x"}}),
    ]


@pytest.mark.parametrize("number", range(14))
def test_a_file_of_another_model_is_a_sentence(number: int, tiny: Dataset, store: Store) -> None:
    run = train(tiny, RunConfig(method="item-knn"), store)
    assert load_scorer(run).score(SEQUENCES).shape == (1, tiny.n_items + 1)
    tensors, state = wrong(tiny.n_items + 1)[number]
    save_tensors(run.folder / MODEL, tensors, state)
    with pytest.raises(UserError, match="does not fit its dataset, or is damaged"):
        load_scorer(run)


def test_what_is_stored_comes_back(tiny: Dataset, store: Store) -> None:
    run = train(tiny, RunConfig(method="ease"), store)
    tensors, state = load_tensors(run.folder / MODEL)
    save_tensors(run.folder / MODEL, tensors, state)
    assert load_scorer(run).score(SEQUENCES).isfinite().all()
