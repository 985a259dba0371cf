"""How long training is said to take."""

from __future__ import annotations

import pytest

from llmesr.config import RunConfig
from llmesr.runs.estimate import Timing, estimate, work


def timing(epochs: int, config: RunConfig) -> Timing:
    return Timing(config=config, interactions=1000, items=500, seconds=2.0, epochs=epochs)


def test_when_it_stops_is_told_only_by_runs_that_stopped_early() -> None:
    config = RunConfig(method="id", epochs=40)
    full = estimate(config, 1000, 500, [timing(40, config)])
    assert full is not None
    assert (full.per_epoch, full.longest) == pytest.approx((2, 80))
    assert full.likely is None
    early = estimate(config, 1000, 500, [timing(10, config)])
    assert early is not None
    assert early.likely == pytest.approx(20)
    longer = estimate(RunConfig(method="id", epochs=400), 1000, 500, [timing(10, config)])
    assert longer is not None
    assert (longer.longest, longer.likely) == pytest.approx((800, 20)), "it stops as early however long it may take"
    shorter = estimate(RunConfig(method="id", epochs=8), 1000, 500, [timing(10, config)])
    assert shorter is not None
    assert shorter.likely is None
    others = estimate(RunConfig(method="llm-init"), 1000, 500, [timing(10, config)])
    assert others is not None
    assert others.likely is None


def test_a_sampled_loss_scores_its_negatives_and_no_more() -> None:
    costs = [work(RunConfig(loss=loss), 1000, 50_000) for loss in ("bce", "gbce", "sampled", "ce")]
    assert costs == sorted(costs)
    assert work(RunConfig(loss="sampled"), 1000, 1024) == work(RunConfig(loss="ce"), 1000, 1024)
    assert work(RunConfig(loss="sampled", negatives=128), 1000, 50_000) == costs[1]


def test_a_text_model_that_reads_the_history_costs_by_its_tokens() -> None:
    vectors, tokens = (
        work(RunConfig(method="language", history_input=kind), 1000, 500) for kind in ("vectors", "tokens")
    )
    assert work(RunConfig(method="id"), 1000, 500) < vectors < tokens
