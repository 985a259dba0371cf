"""Units of weights against standard deviations made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from serving_doubles import FakeScorer, bare_run

from llmesr.data.batches import pad_histories
from llmesr.data.dataset import Dataset
from llmesr.scoring.linear_term import LinearKind, LinearTerm
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units, matching, median, short, spread
from llmesr.store import Store


def test_a_part_at_its_unit_spreads_as_far_as_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores, part = torch.tensor(rng.normal(0, 3, (5, 41))), torch.tensor(rng.normal(0, 0.2, (5, 41)))
    scores[:, 0] = part[:, 0] = -1e9  # padding is no item
    own = spread(scores)
    np.testing.assert_allclose(own, np.std(scores[:, 1:].numpy(), axis=1, ddof=1), rtol=1e-5)
    weights = matching(own, part)
    np.testing.assert_allclose(spread(part * weights[:, None]), own, rtol=1e-5)
    assert median([weights[:2], weights[2:]]) == pytest.approx(float(weights.median()))


def test_users_to_whom_a_part_says_nothing_are_left_out() -> None:
    part = torch.zeros(3, 6)
    part[1] = torch.arange(6.0)
    found = matching(torch.tensor([9.0, 4.0, 9.0]), part)
    np.testing.assert_allclose(found, [4.0 / np.std([1, 2, 3, 4, 5], ddof=1)], rtol=1e-6)
    assert median([matching(torch.ones(3), torch.zeros(3, 6))]) == 0
    assert median([]) == 0


def test_three_digits() -> None:
    assert [short(0.0123456), short(1234.5), short(0.0)] == [0.0123, 1230.0, 0.0]


def test_units_are_worked_out_only_for_knobs_that_are_turned(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ScoredRun(store, bare_run(store, tiny), scorer=FakeScorer(tiny.n_items))
    counted: list[int] = []
    solved = made.ground.linear

    def counting(kind: LinearKind) -> LinearTerm:
        counted.append(1)
        return solved(kind)

    monkeypatch.setattr(made.ground, "linear", counting)
    units = Units(made)
    histories = [tiny.history(u)[:n].tolist() for u, n in enumerate(tiny.split.train_lengths) if n]
    step = len(histories) // 64 or 1
    own = made.scorer.score(pad_histories(histories[::step][:64], made.max_length))[:, 1:].std(1)
    expected = float(own.median()) / float(np.std(np.log1p(tiny.item_counts[1:]), ddof=1))
    assert units.of("popularity") == pytest.approx(expected, rel=1e-4)
    assert units.of("content") == 0  # there is no text
    assert not counted
    assert units.of("linear") > 0
    asked = len(counted)
    assert units.of("linear") > 0
    assert len(counted) == asked  # worked out once
