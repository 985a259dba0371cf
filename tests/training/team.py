"""What each of two processes does in ``test_together``: ``python team.py ROOT DATASET EMBEDDING``."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.models.sharded_table import ShardedTable
from llmesr.models.tables import IdTable
from llmesr.objectives.terms import NextItem
from llmesr.processes import Processes, joined
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, load_embedding
from llmesr.store import Store
from llmesr.training import train as training
from llmesr.training import user_states
from llmesr.training.stopping import Stopped

SETTINGS = {"embedding_size": 8, "epochs": 3, "batch_size": 15, "dropout": 0.0, "max_length": 8}
STOP_AFTER = 10
SAMPLED = {**SETTINGS, "negatives": 24}
CONFIGS = {
    "id": RunConfig.read(None, method="id", **SETTINGS),
    "llm-esr": RunConfig.read(None, method="llm-esr", teacher_refresh=3, **SETTINGS),
}
SHARDED = {
    "id": RunConfig.read(None, method="id", loss="sampled", item_updates="sharded", weight_decay=0.01, **SAMPLED),
    "llm-esr": RunConfig.read(
        None, method="llm-esr", loss="sampled", teacher_refresh=3, item_updates="sharded", **SAMPLED
    ),
}


def first_items(objective: NextItem, owners: torch.Tensor, *_: Any) -> torch.Tensor:
    """Negatives that nobody draws: the same in every process, so that one process and two can be compared."""
    return torch.arange(1, objective.negatives + 1, device=owners.device)


class OneIsAsked:
    """A ``terminate`` in which only the second process hears the request to stop."""

    def __enter__(self) -> Callable[[], bool]:
        self.left = STOP_AFTER if torch.distributed.get_rank() == 1 else 10**9
        return self.ask

    def ask(self) -> bool:
        self.left -= 1
        return self.left < 0

    def __exit__(self, *_: object) -> None:
        pass


def rows_meet(processes: Processes) -> None:
    """Sparse gradients add up as dense ones do, whoever has how many rows."""
    found = []
    for sparse in (True, False):
        table = IdTable(6, 2, sparse=sparse)
        rows = [[1, 2, 2], [2, 5, 3, 6, 0]][processes.rank]
        (table(torch.tensor(rows)) * torch.arange(1.0, len(rows) + 1)[:, None]).sum().backward()
        processes.add_gradients(table)
        assert table.vectors.grad is not None
        assert table.vectors.grad.is_sparse is sparse
        found.append(table.vectors.grad.to_dense())
    torch.testing.assert_close(*found)


def shards_meet(processes: Processes) -> None:
    """Rows that are borrowed are those of the owner, and gradients come back to it as those of a whole table add up."""
    torch.manual_seed(0)
    whole = IdTable(6, 2, sparse=True)
    torch.manual_seed(0)
    mine = ShardedTable(6, 2, processes)
    torch.testing.assert_close(mine.vectors, whole.vectors[processes.rank :: 2])
    rows = torch.tensor([[1, 2, 2], [2, 5, 3, 7, 0]][processes.rank])
    mine.borrow(rows)
    torch.testing.assert_close(mine(rows), whole(rows))
    for table in (mine, whole):
        (table(rows) * torch.arange(1.0, len(rows) + 1)[:, None]).sum().backward()
    processes.add_gradients(whole)
    mine.give_back()
    assert whole.vectors.grad is not None
    assert mine.vectors.grad is not None
    torch.testing.assert_close(mine.vectors.grad.to_dense(), whole.vectors.grad.to_dense()[processes.rank :: 2])


def sharded(store: Store, dataset: Dataset, vectors: Embedding, processes: Processes) -> None:
    """Runs whose tables are spread over both, one that only helps to compare, one that stops, one that goes on."""
    options: dict[str, Any] = {"embedding": vectors, "device": "cpu", "processes": processes}
    for name, config in SHARDED.items():
        training.train(dataset, config, store, run_id=f"{name}-sharded", **options)
    replicated = SHARDED["id"].but(item_updates="sparse")
    training.train(dataset, replicated, store, run_id="id-replicated", **options)
    training.resume(Run(store, "alone-first"), device="cpu", processes=processes)
    try:
        with mock.patch.object(training, "terminate", OneIsAsked):
            training.train(dataset, SHARDED["llm-esr"], store, run_id="stopped-sharded", **options)
    except Stopped:
        return
    raise AssertionError("nobody stopped")


def in_file(store: Store, dataset: Dataset, vectors: Embedding, processes: Processes) -> None:
    """A run whose teachers lie in a file that both write and read, and one that stops within an epoch and goes on."""
    options: dict[str, Any] = {"embedding": vectors, "device": "cpu", "processes": processes}
    with mock.patch.object(user_states, "IN_FILE_FROM", 0):
        training.train(dataset, CONFIGS["llm-esr"], store, run_id="llm-esr-file", **options)
        try:
            with mock.patch.object(training, "terminate", OneIsAsked):
                training.train(dataset, CONFIGS["llm-esr"], store, run_id="stopped-file", **options)
        except Stopped:
            assert len(list(Run(store, "stopped-file").checkpoints.glob("*.states"))) == 1
            training.resume(Run(store, "stopped-file"), device="cpu", processes=processes)
            return
    raise AssertionError("nobody stopped")


def main(root: str, dataset_id: str, embedding_id: str) -> weakref.ref[Any]:
    store = Store(root)
    dataset, vectors = load_dataset(store, dataset_id), load_embedding(store, embedding_id)
    with joined(torch.device("cpu")) as processes:
        rows_meet(processes)
        shards_meet(processes)
        with mock.patch.object(NextItem, "draw", first_items):
            sharded(store, dataset, vectors, processes)
        for name, config in CONFIGS.items():
            run = training.train(
                dataset, config, store, embedding=vectors, run_id=f"{name}-two", device="cpu", processes=processes
            )
            assert run.status().state == "SUCCEEDED"  # for every process, as soon as train() is back
        in_file(store, dataset, vectors, processes)
        try:
            with mock.patch.object(training, "terminate", OneIsAsked):
                training.train(
                    dataset,
                    CONFIGS["llm-esr"],
                    store,
                    embedding=vectors,
                    run_id="stopped",
                    device="cpu",
                    processes=processes,
                )
        except Stopped:
            return weakref.ref(torch.distributed.group.WORLD)
    raise AssertionError("nobody stopped")


if __name__ == "__main__":
    group = main(*sys.argv[1:])
    assert group() is None  # or its threads would meet the end of the interpreter
