"""The search of benchmarks/least.py for weights that raise the lowest measure of a sum."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from emphasis import MEASURES, on_validation
from least import Half, asked, search, slopes, smooth, summed

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

USERS, ITEMS, KNOTS = 40, 30, 2


@pytest.fixture
def half() -> Half:
    """Head items are 1 to 15. The first member knows the targets of the first half of the users, which are head items,
    the second those of the others, which are tail items."""
    draw = torch.Generator().manual_seed(0)
    head = torch.arange(USERS) < USERS // 2
    targets = torch.where(head, 1, 16)[:, None] + torch.randint(0, 15, (USERS, 1), generator=draw)
    scores = torch.rand(2, USERS, ITEMS + 1, generator=draw)
    for member, knows in enumerate((head, ~head)):
        scores[member, knows.nonzero()[:, 0], targets[knows, 0]] += 2
    groups = {"Overall": torch.ones(USERS, dtype=torch.bool), "Tail Item": ~head, "Head Item": head}
    groups |= {"Tail User": torch.arange(USERS) % 2 == 0, "Head User": torch.arange(USERS) % 2 == 1}
    negatives = 1 + torch.randint(0, ITEMS, (USERS, 20), generator=draw)
    negatives = torch.where(negatives == targets, 0, negatives)
    about = torch.stack([torch.ones(USERS), torch.randn(USERS, generator=draw)], 1)
    seen = torch.zeros(USERS, 1, dtype=torch.long)
    return Half(np.arange(USERS), scores, targets, seen, negatives, about, groups)


@pytest.fixture
def places() -> torch.Tensor:
    right = torch.linspace(0, 1, ITEMS + 1)
    return torch.stack([1 - right, right], 1)


def test_slopes_are_those_of_the_sum(half: Half, places: torch.Tensor) -> None:
    weights, bias = torch.randn(2, 2, KNOTS, requires_grad=True), torch.randn(2, KNOTS, requires_grad=True)
    slope = torch.randn(USERS, ITEMS + 1)
    expected = torch.autograd.grad((summed(half, weights, bias, places) * slope).sum(), (weights, bias))
    for found, wanted in zip(slopes(half, slope, places), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_smooth_measures_come_near_those_that_are_counted(half: Half) -> None:
    clear = half.scores[0] * 1000
    counted = half.measured(clear)
    for found, measure in zip(smooth(half, clear, 0.01).tolist(), MEASURES, strict=True):
        assert found == pytest.approx(counted[measure], abs=0.12)  # hits are smooth as well: the 10th place is one half


def test_the_lowest_measure_rises(half: Half, places: torch.Tensor) -> None:
    weights, bias = torch.zeros(2, 2, KNOTS), torch.zeros(2, KNOTS)
    weights[0, 0] = 1.0  # the first member alone
    best = {m: max(half.measured(scores)[m] for scores in half.scores) for m in MEASURES}
    begun = half.measured(summed(half, weights, bias, places))
    before = min(begun[m] - best[m] for m in MEASURES)
    least, *found = search(half, best, (weights, bias), places, steps=60, pull=0.0)
    reached = half.measured(summed(half, found[0], found[1], places))
    assert least == pytest.approx(min(reached[m] - best[m] for m in MEASURES))
    assert before < -0.3 < -0.05 < least
    held = search(half, best, (weights, bias), places, steps=60, pull=100.0)
    assert (held[1] - weights).abs().max() < (found[0] - weights).abs().max()


def test_what_is_counted_is_what_runs_record(store: Store, tiny: Dataset) -> None:
    runs = [train(tiny, RunConfig.read(None, method=method), store) for method in ("ease", "item-knn")]
    members = [load_scorer(run, dataset=tiny, part="valid", device="cpu") for run in runs]
    half, unit = asked(members, tiny, 50, by_history=False)
    assert unit.shape == (2,)
    assert half.about.shape == (len(half.users), 1)
    for scores, run in zip(half.scores, runs, strict=True):
        assert half.measured(scores) == pytest.approx(on_validation([run], tiny))
