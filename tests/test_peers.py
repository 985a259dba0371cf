"""The judge and the clock that every side of benchmarks/peers.py is measured by."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import peers
import peers_side

HISTORIES = [np.array([1, 2]), np.array([3])]


def _data(target: list[int]) -> Any:
    return peers_side.Data(HISTORIES, np.arange(2), np.array(target), n_items=4)


def _fixed(scores: list[float]) -> Any:
    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        return np.tile(np.array(scores, np.float32), (len(histories), 1))

    return score


def test_items_of_the_history_are_not_ranked_and_a_tie_counts_half() -> None:
    found = peers_side.judged(_fixed([9, 5, 4, 3, 1]), _data([3, 4]))
    # user 0: item 3 stands before 4, as 1 and 2 are of the history; user 1: 4 is behind 1 and 2
    assert found == pytest.approx({"NDCG@10": (1 + 1 / math.log2(4)) / 2, "HR@10": 1})
    tied = peers_side.judged(_fixed([9, 5, 4, 3, 3]), _data([3, 4]))
    assert tied["NDCG@10"] == pytest.approx((1 / math.log2(2.5) + 1 / math.log2(4)) / 2)


def test_items_that_a_library_does_not_know_stand_last() -> None:
    scores = peers_side.known_only(torch.tensor([[0.0, 1.0, 2.0]]), np.array([0, 2, 0, 1]))
    assert scores.tolist() == [[-np.inf, 2, -np.inf, 1]]


def test_the_newest_items_are_padded_on_either_side() -> None:
    made = [peers_side.padded([np.array([1, 2, 3]), np.array([4])], left=left, length=2) for left in (True, False)]
    assert [m.tolist() for m in made] == [[[2, 3], [0, 4]], [[2, 3], [4, 0]]]


def _watch(scores: list[list[float]], *, seconds: float = 1e6, pause: float = 1e6) -> Any:
    """A watch of epochs of two steps that judges by the next of ``scores``, and gives up after two poor epochs."""
    plan = peers_side.Plan("sasrec", "ce", seconds, pause, patience=2, seed=1, dataset="-", own={})
    watch, left = peers_side.Watch(_data([3, 4]), plan), iter(scores)
    watch.start(torch.nn.Linear(1, 1), lambda: _fixed(next(left)), 2)
    return watch


def test_a_side_ends_after_epochs_that_are_worse(capsys: pytest.CaptureFixture[str]) -> None:
    good, poor = [0.0, 1, 2, 9, 9], [9.0, 9, 8, 7, 1]
    watch = _watch([poor, good, poor, poor])
    for _ in range(3):
        watch.epoch()
    with pytest.raises(peers_side.Over):
        watch.epoch()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert watch.best == max(line["NDCG@10"] for line in lines) == lines[1]["NDCG@10"]


def test_a_side_ends_within_an_epoch_when_its_seconds_are_spent(capsys: pytest.CaptureFixture[str]) -> None:
    watch = _watch([[9.0, 5, 4, 3, 1]], seconds=0)
    with pytest.raises(peers_side.Over):
        watch.step()
    assert json.loads(capsys.readouterr().out)["epoch"] == 0.5


def test_the_table_says_what_was_not_reached() -> None:
    def frame(*quality: float) -> pd.DataFrame:
        rows = [
            {"epoch": n, "cpu": 30.0 * n, "before": 0.1, "peak": 0.2, "NDCG@10": q} for n, q in enumerate(quality, 1)
        ]
        return pd.DataFrame(rows)

    *_, ours, theirs = peers.table({"llmesr": frame(0.1, 0.2), "recbole": frame(0.05, 0.15, 0.25, 0.2)}, [0.15], 2)
    assert ours == "| llmesr id | 30.00 | 2.0 | 0.2000 (60) | 60.0 | 60.0 | 0.20 (0.10 before) |"
    better = "not within 1.0 min, no longer better; best 0.2000"
    assert theirs == f"| RecBole 1.2.1 | 30.00 | 4.0 | 0.2500 (90) | {better} | 60.0 | 0.20 (0.10 before) |"
