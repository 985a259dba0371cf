"""Row-wise Adam moves what has a gradient, by what Adam would move it in the end, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from interruption import stopped
from torch import Tensor, nn

from llmesr.config import RunConfig
from llmesr.config.needs import sparse_updates
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.methods import Inputs, build
from llmesr.models.tables import IdTable
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.optimiser import RowwiseAdam, clip, optimiser_of
from llmesr.training.train import resume, train

RATE = 0.01


class Two(nn.Module):
    """A table and a dense parameter."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = IdTable(5, 3, sparse=sparse)
        self.dense = nn.Parameter(torch.ones(3))

    def loss(self, items: list[int]) -> Tensor:
        loss: Tensor = ((self.table(torch.tensor(items)) - 1) * self.dense).square().sum()
        return loss


def steps(model: Two, every: list[list[int]], decay: float = 0.0) -> torch.optim.Optimizer:
    optimiser = optimiser_of(model, learning_rate=RATE, weight_decay=decay, fused=True)
    for items in every:
        optimiser.zero_grad(set_to_none=True)
        model.loss(items).backward()
        optimiser.step()
    return optimiser


def test_only_touched_rows_move_and_padding_never() -> None:
    model = Two(sparse=True)
    before = model.table.vectors.detach().clone()
    optimiser = steps(model, [[1, 2, 2], [0, 4]])
    assert isinstance(optimiser, RowwiseAdam)
    moved = (model.table.vectors != before).any(1)
    assert moved.tolist() == [False, True, True, False, True, False, False]
    assert (model.dense != 1).all()


def test_a_dense_table_is_left_to_adam() -> None:
    assert type(optimiser_of(Two(sparse=False), learning_rate=RATE, weight_decay=0, fused=True)) is torch.optim.AdamW


def test_the_first_and_a_later_step_by_hand() -> None:
    """v = the mean of g squared, corrected for the steps so far; between two touches v decays as in Adam."""
    table = IdTable(3, 2, sparse=True)
    model = nn.ModuleDict({"table": table})
    optimiser = optimiser_of(model, learning_rate=RATE, weight_decay=0.0, fused=True)
    start = table.vectors.detach().clone()

    def step(row: int, gradient: list[float]) -> None:
        optimiser.zero_grad(set_to_none=True)
        (table(torch.tensor([row])) * torch.tensor(gradient)).sum().backward()
        optimiser.step()

    step(1, [3.0, 4.0])
    expected = start[1] - RATE * torch.tensor([3.0, 4.0]) / math.sqrt(12.5)
    torch.testing.assert_close(table.vectors[1].detach(), expected)
    step(2, [1.0, 1.0])
    step(1, [1.0, -1.0])
    second = 0.001 * 12.5 * 0.999**2 + 0.001 * 1.0
    spread = math.sqrt(second / (1 - 0.999**3))
    torch.testing.assert_close(table.vectors[1].detach(), expected - RATE * torch.tensor([1.0, -1.0]) / spread)


def test_a_row_moves_as_far_as_adam_moves_it_in_the_end() -> None:
    """One touch late in training: Adam goes on for many steps, row-wise Adam moves once."""

    def moved(sparse: bool) -> Tensor:
        model = nn.ModuleDict({"table": (table := IdTable(2, 2, sparse=sparse))})
        optimiser = optimiser_of(model, learning_rate=1e-4, weight_decay=0.0, fused=True)
        start = table.vectors.detach()[1].clone()
        for step in range(3000):
            optimiser.zero_grad(set_to_none=True)
            (table(torch.tensor([1 if step == 2900 else 2])) * 2.0).sum().backward()
            optimiser.step()
        return table.vectors.detach()[1] - start

    torch.testing.assert_close(moved(True), moved(False), rtol=0.02, atol=0)


def test_weights_decay_for_the_steps_that_passed() -> None:
    table = IdTable(2, 2, sparse=True)
    with torch.no_grad():
        table.vectors[1] = 1.0
    optimiser = optimiser_of(nn.ModuleDict({"t": table}), learning_rate=RATE, weight_decay=0.5, fused=True)
    for row in (2, 2, 1):
        optimiser.zero_grad(set_to_none=True)
        (table(torch.tensor([row])) * 0).sum().backward()
        optimiser.step()
    torch.testing.assert_close(table.vectors[1].detach(), torch.full((2,), (1 - RATE * 0.5) ** 3))


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_gradients_are_clipped_by_their_common_norm(most: float) -> None:
    sparse, dense = Two(sparse=True), Two(sparse=False)
    for model in (sparse, dense):
        model.loss([1, 2, 2]).backward()
        clip(model.parameters(), most)
    assert sparse.table.vectors.grad is not None
    assert dense.table.vectors.grad is not None
    torch.testing.assert_close(sparse.table.vectors.grad.to_dense(), dense.table.vectors.grad)
    torch.testing.assert_close(sparse.dense.grad, dense.dense.grad)


SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 3, "batch_size": 16, "max_length": 8, "method": "id"}


def test_auto_is_sparse_for_many_items_where_it_can_be() -> None:
    sampled = RunConfig.read(None, method="id", loss="sampled")
    assert (sparse_updates(sampled, 99_999), sparse_updates(sampled, 100_000)) == (False, True)
    assert not sparse_updates(sampled.but(loss="ce"), 10**6)
    assert not sparse_updates(sampled.but(teacher="run"), 10**6)
    assert sparse_updates(sampled.but(item_updates="sparse"), 10)
    assert not sparse_updates(sampled.but(item_updates="dense"), 10**6)
    with pytest.raises(UserError, match="needs a loss that looks at some items only"):
        sampled.but(loss="ce", item_updates="sparse")


@pytest.mark.parametrize("loss", ["sampled", "bce", "gbce"])
def test_both_give_the_same_first_loss_and_gradient(loss: str) -> None:
    """The setting changes how a gradient is used, not what it is."""
    found = []
    for updates in ("dense", "sparse"):
        torch.manual_seed(0)
        config = RunConfig.read(None, loss=loss, item_updates=updates, **SMALL)
        table = build(Inputs(n_items=20), config).model.tables["collaborative"]
        assert isinstance(table, IdTable)
        table(torch.tensor([[1, 2, 2], [5, 0, 0]])).square().sum().backward()
        assert table.vectors.grad is not None
        assert table.vectors.grad.is_sparse is (updates == "sparse")
        found.append(table.vectors.grad.to_dense() if updates == "sparse" else table.vectors.grad)
    torch.testing.assert_close(*found)


def test_a_run_resumes_to_what_it_would_have_been(tiny: Dataset, store: Store) -> None:
    config = RunConfig.read(None, loss="sampled", negatives=8, item_updates="sparse", **SMALL)
    whole = train(tiny, config, store, run_id="whole")
    stopped(9, tiny, config, store, run_id="parts")
    parts = resume(Run(store, "parts"))
    assert parts.manifest.files["model.safetensors"] == whole.manifest.files["model.safetensors"]
    dense = train(tiny, config.but(item_updates="dense"), store)
    assert dense.manifest.files["model.safetensors"] != whole.manifest.files["model.safetensors"]
