"""Checkpoints by shard: whole or as they were before, for any number of processes, and put together without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from llmesr.config import RunConfig
from llmesr.errors import UserError
from llmesr.models import sharded_table
from llmesr.models.sharded_table import ShardedTable, drawn_rows
from llmesr.processes import Processes
from llmesr.training import shards
from llmesr.training.checkpoint import load_tensors, save_tensors

TABLE = torch.arange(22.0).view(11, 2)
REST = {"dense": torch.ones(3), "flags": torch.tensor([True, False])}


@dataclass(frozen=True)
class InTurn(Processes):
    """Processes that act one after the other, the main one last: it finds what the others wrote."""

    stamps: list[Any] = field(default_factory=lambda: ["a"])

    def broadcast(self, value: Any) -> Any:
        return self.stamps[-1]

    def barrier(self) -> None:
        """The others have been here."""


def written(path: Path, table: torch.Tensor, size: int, stamp: str, ranks: list[int]) -> None:
    for rank in ranks:
        own = {"table": table[rank::size], **REST}
        shards.save(path, own, {"step": stamp}, {"table"}, InTurn(rank, size, stamps=[stamp]))


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_any_number_of_processes_reads_its_rows(before: int, after: int, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    if before == 1:
        save_tensors(path, {"table": TABLE, **REST}, {"step": "a"})
    else:
        written(path, TABLE, before, "a", [*range(1, before), 0])
    for rank in range(after):
        tensors, state = shards.load(path, {"table"} if after > 1 else set(), InTurn(rank, after))
        torch.testing.assert_close(tensors["table"], TABLE[rank::after])
        torch.testing.assert_close(tensors["dense"], REST["dense"])
        assert state == {"step": "a"}


def test_until_all_have_written_the_checkpoint_before_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    written(path, TABLE, 3, "a", [1, 2, 0])
    written(path, TABLE + 1, 3, "b", [1, 2])  # killed before the main one wrote the list
    assert shards.load(path, set(), InTurn())[1] == {"step": "a"}
    torch.testing.assert_close(shards.load(path, set(), InTurn())[0]["table"], TABLE)
    written(path, TABLE + 2, 2, "c", [1, 0])
    torch.testing.assert_close(shards.load(path, set(), InTurn())[0]["table"], TABLE + 2)
    assert len(list(tmp_path.iterdir())) == 3  # what was left over is gone


def test_a_lost_shard_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    written(path, TABLE, 2, "a", [1, 0])
    (tmp_path / "last.a.1-of-2.safetensors").unlink()
    with pytest.raises(UserError, match="1-of-2.safetensors is damaged and cannot be read"):
        shards.load(path, {"table"}, InTurn(0, 2))


@pytest.mark.parametrize("size", [2, 3])
def test_shards_are_put_together_block_by_block(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS", 2)
    path = tmp_path / "whole.safetensors"
    written(path, TABLE, size, "a", [*range(1, size), 0])
    shards.put_together(path, tmp_path / "model.safetensors")
    tensors, state = load_tensors(tmp_path / "model.safetensors")
    assert state == {}
    for name, value in {"table": TABLE, **REST}.items():
        torch.testing.assert_close(tensors[name], value)


@pytest.mark.parametrize(("rows", "size"), [(3, 2), (40, 1), (65, 3), (129, 8), (200, 5)])
def test_rows_are_drawn_as_if_all_were(rows: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_table, "AT_ONCE", 32)
    torch.manual_seed(1)
    whole, after = torch.randn(rows, size), torch.rand(1)
    for first in range(3):
        torch.manual_seed(1)
        torch.testing.assert_close(drawn_rows(rows, size, first, 3), whole[first::3], rtol=0, atol=0)
        torch.testing.assert_close(torch.rand(1), after, rtol=0, atol=0)  # what is drawn next is the same, too


def test_a_row_that_was_not_borrowed_is_an_error() -> None:
    table = ShardedTable(5, 2, Processes())
    with pytest.raises(RuntimeError, match="borrow"):
        table(torch.tensor([1]))
    table.borrow(torch.tensor([[1, 3, 0]]))
    torch.testing.assert_close(table(torch.tensor([3, 0])), torch.stack([table.vectors[3], torch.zeros(2)]))
    with pytest.raises(RuntimeError, match="not borrowed"):
        table(torch.tensor([2]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "ce"}, "needs a loss that looks at some items only"),
        ({"ranking": "two-stage"}, "ranking=two-stage would need"),
        ({"graph_steps": 2, "base": "ease"}, "graph_steps and base would need"),
        ({"method": "llmemb"}, "llmemb has one with adapter=false"),
    ],
)
def test_what_needs_all_items_cannot_be_sharded(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        RunConfig.read(None, **{"method": "id", "loss": "sampled", "item_updates": "sharded", **changes})
