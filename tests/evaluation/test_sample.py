"""Validation on a fixed sample: the same users every time, their own ranks, and an interval that says what it costs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import Table, dataset_of

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.sample import judged, validation_sample
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.train import train
from llmesr.views.training.panels import sample_words


def drawn(data: Dataset, users: int) -> list[int]:
    sample = validation_sample(data, users)
    assert sample is not None
    return [int(user) for user in sample]


def test_the_sample_is_that_of_the_dataset() -> None:
    data = dataset_of([[1, 2, 3, 4]] * 30 + [[1, 2]], 5, seed=1)  # the last user is for training only
    sample = drawn(data, 10)
    assert sample == drawn(data, 10) == sorted(set(sample))
    assert len(sample) == 10
    assert 30 not in sample
    assert sample != drawn(dataset_of([[1, 2, 3, 4]] * 30, 5, seed=2), 10)
    assert validation_sample(data, 30) is None
    assert validation_sample(data, None) is None


def test_those_asked_get_the_ranks_they_have_among_all() -> None:
    rng = np.random.default_rng(0)
    data = dataset_of([rng.permutation(np.arange(1, 21))[: 3 + n % 5].tolist() for n in range(12)], 20)
    scorer = Table(rng.normal(size=(12, 21)))
    some = validation_sample(data, 5)
    assert some is not None
    whole = evaluate(scorer, data, "valid", top=0).frame
    part = evaluate(scorer, data, "valid", top=0, users=some).frame
    expected = whole[whole["user"].isin(some)].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


def test_the_interval_is_that_of_a_mean() -> None:
    data = dataset_of([[1, 2, 3]] * 4, 3, thresholds=Thresholds(item=1, user=1))
    frame = pd.DataFrame(
        {"user": range(4), "protocol": "full", "rank": [1, 1, 11, 11], "target_popularity": 9, "history_length": 9}
    )
    config = RunConfig.read(None, monitor="HR@10", validation_users=4)
    found = judged(frame, data, config, sampled=True)
    assert found["full/Overall/HR@10"] == 0.5
    assert found["validation_users"] == 4
    assert found["validation_interval"] == pytest.approx(1.959964 * 0.5 / math.sqrt(4))
    assert "validation_users" not in judged(frame, data, config, sampled=False)
    with pytest.raises(UserError, match="is in the group 'Tail Item', which is watched. Raise validation_users"):
        judged(frame, data, config.but(monitor_group="Tail Item"), sampled=True)
    with pytest.raises(UserError, match="is in the group 'Cold Item', which is watched. Watch another group"):
        judged(frame, data, config.but(monitor_group="Cold Item"), sampled=False)
    cold = frame.assign(target_popularity=[0, 9, 9, 0])
    watched = judged(cold, data, config.but(monitor_group="Cold Item"), sampled=True)
    assert watched["full/Cold Item/HR@10"] == 0.5
    assert watched["validation_interval"] == pytest.approx(1.959964 * 0.5 / math.sqrt(2))


def test_a_run_says_what_it_was_validated_on(tiny: Dataset, store: Store) -> None:
    config = RunConfig.read(None, method="id", embedding_size=8, epochs=2, validation_users=20)
    run = train(tiny, config, store)
    events = run.events()
    assert events["validation_users"].tolist() == [20, 20]
    sample = run.manifest.info["validation_sample"]
    everybody = len(tiny.split.users("valid"))
    assert (sample["users"], sample["of"]) == (20, everybody)
    best = events[events["epoch"] == run.manifest.info["best_epoch"]]
    assert sample["interval"] == pytest.approx(float(best["validation_interval"].iloc[0]))
    frame = run.per_user()
    assert frame[frame["part"] == "valid"]["user"].nunique() == everybody  # full at the end
    assert "same 20 users, drawn at random: NDCG@10 is known to ±" in sample_words(events, run)
    whole = train(tiny, config.but(validation_users=None), store)
    assert "validation_sample" not in whole.manifest.info
    assert sample_words(whole.events(), Run(store, whole.id)) == ""
