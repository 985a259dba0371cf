"""Processes that each score some of the items count the ranks that one counts which scores them all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_cases import Threads, dataset_of
from torch import Tensor

from llmesr.config import SplitConfig
from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import Evaluation, evaluate
from llmesr.evaluation.sharded import ranked_by
from llmesr.processes import Processes

N_ITEMS, DAY = 83, 86_400
SEVERAL = SplitConfig(kind="temporal", valid_from="1970-03-01", test_from="1970-03-20", targets="all")


class Kept:
    """Small whole numbers as scores, so that many items score the same; of some items only."""

    def __init__(self, items: Tensor, processes: Processes) -> None:
        self.items, self.kept = items, items[processes.rank or processes.size :: processes.size]

    def represent(self, sequences: Tensor) -> Tensor:
        return self.items[sequences].sum(1)

    def score_kept(self, states: Tensor) -> Tensor:
        return states @ self.kept.T


class All:
    """The same of every item."""

    def __init__(self, items: Tensor) -> None:
        self.items = items

    def score(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        return self.items[sequences].sum(1) @ self.items.T


def world(split: SplitConfig | None, top_score: int) -> tuple[Dataset, Tensor]:
    rng = np.random.default_rng(2)
    histories = [rng.permutation(np.arange(1, N_ITEMS + 1))[: rng.integers(4, 12)].tolist() for _ in range(40)]
    times = [np.sort(rng.integers(0, 100 * DAY, len(h))).tolist() for h in histories] if split else None
    items = torch.from_numpy(rng.integers(-top_score, top_score + 1, (N_ITEMS + 1, 3)).astype(np.float32))
    items[0] = 0
    return dataset_of(histories, N_ITEMS, times=times, split=split), items


def ranked(data: Dataset, items: Tensor, size: int, **options: Any) -> list[Evaluation]:
    meeting, table = threading.Barrier(size), dict[int, Tensor]()

    def one(rank: int) -> Evaluation:
        processes = Threads(rank, size, "cpu", meeting, table)
        scorer = Kept(items, processes)
        found: Evaluation = ranked_by(scorer)(scorer, data, "test", processes=processes, **options)
        return found

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize(
    "split", [None, SplitConfig(kind="temporal", valid_from="1970-03-01", test_from="1970-03-20", targets="all")]
)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_ranks_of_parts_are_those_of_the_whole(size: int, split: SplitConfig | None) -> None:
    data, items = world(split, top_score=3)
    exact = evaluate(All(items), data, "test", batch_size=7)
    for found in ranked(data, items, size, batch_size=7):
        pd.testing.assert_frame_equal(found.frame, exact.frame)


@pytest.mark.parametrize("size", [2, 3])
def test_the_best_of_all_are_among_the_best_of_each(size: int) -> None:
    data, items = world(None, top_score=10**6)  # no two items score the same
    exact = evaluate(All(items.double()), data, "test", top=9)
    for found in ranked(data, items.double(), size, top=9):
        np.testing.assert_array_equal(found.top_items, exact.top_items)


def test_a_list_ends_where_there_are_no_more_items() -> None:
    data = dataset_of([[1, 2, 3, 4]], 5)
    found, _ = ranked(data, torch.randn(6, 3), 2, top=5)
    assert sorted(found.top_items[0].tolist()) == [0, 0, 0, 4, 5]
