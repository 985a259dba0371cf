"""Who is weak: counted by hand, on training alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from factories import make_embedding

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.scoring.allocation.weakness import features, threshold, weakness
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.train import train


def test_weakness_is_the_mean_place_and_who_has_no_history_is_weakest() -> None:
    found = pd.DataFrame({"length": [0.0, 2.0, 3.0, 9.0], "popularity": [np.nan, 1.0, 4.0, 2.0]})
    # places of length: 3/4, 2/4, 1/4, 0; of popularity among three: 2/3, 0, 1/3
    assert weakness(found).tolist() == pytest.approx([3 / 4, (2 / 4 + 2 / 3) / 2, (1 / 4) / 2, (1 / 3) / 2])
    assert weakness(found[["popularity"]])[0] == 1.0


def test_the_threshold_leaves_about_the_share_and_keeps_equals_together() -> None:
    weak = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [(weak >= threshold(weak, share)).sum() for share in (0.0, 0.2, 0.6, 1.0)] == [0, 1, 3, 5]
    assert (np.full(5, 0.3) >= threshold(np.full(5, 0.3), 0.2)).all()
    assert threshold(np.zeros(0), 0.5) == np.inf


def test_features_are_those_of_the_training_part(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = train(tiny, RunConfig(method="semantic-knn", max_length=8), store)
    scored = ScoredRun(store, run)
    found = features(scored, ["length", "popularity", "spread"])
    user = 5
    history = tiny.train_history(user)
    scores = scored.scorer.score(_padded(history))[0, 1:]
    assert found["length"][user] == len(history)
    assert found["popularity"][user] == pytest.approx(np.log1p(tiny.item_counts[history]).mean())
    assert found["spread"][user] == pytest.approx(float(scores.std()), rel=1e-4)
    assert list(features(scored, ["spread"])) == ["spread"]


def _padded(history: np.ndarray):  # type: ignore[no-untyped-def]
    import torch

    return torch.from_numpy(history[-8:].astype(np.int64))[None]
