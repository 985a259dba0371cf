"""Who is weak: short and unpopular histories that the run's scores hardly tell apart, by the training part alone.

The papers take users who are sparse and badly served (AUC on their own events). With one validation event a user that
is mostly luck, and whoever was unlucky there looks as if helped afterwards; so nothing that a user chose later counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import spread

SHARES = tuple(round(0.1 * step, 1) for step in range(11))
"""The shares of weak users that validation chooses from."""


def features(scored: ScoredRun, names: Sequence[str]) -> pd.DataFrame:
    """(U, features): length (training interactions), popularity (mean log count of the training history), spread
    (standard deviation over the catalogue of the run's scores after that history). NaN without a training history."""
    dataset = scored.dataset
    lengths = np.asarray(dataset.split.train_lengths)
    made: dict[str, np.ndarray] = {"length": lengths.astype(float)}
    if "popularity" in names:
        user = np.repeat(np.arange(dataset.n_users), lengths)
        logs = np.log1p(dataset.item_counts[dataset.split.train_items])
        with np.errstate(invalid="ignore"):
            made["popularity"] = np.bincount(user, logs, minlength=dataset.n_users) / lengths
    if "spread" in names:
        made["spread"] = _spreads(scored.of("valid"), dataset, lengths)
    return pd.DataFrame({name: made[name] for name in names})


def weakness(found: pd.DataFrame) -> np.ndarray:
    """(U,) from 0 to 1: the mean over the features of the share of users with a higher value; 1 without a history."""
    places = 1 - found.rank(pct=True)
    return np.asarray(places.mean(axis=1).fillna(1.0), float)


def threshold(of_users: np.ndarray, share: float) -> float:
    """The weakness from which on a user is weak, so that about ``share`` of these users are; ties fall together."""
    if share <= 0 or not len(of_users):
        return np.inf
    return float(np.quantile(of_users, 1 - share, method="higher")) if share < 1 else -np.inf


@torch.inference_mode()
def _spreads(scored: ScoredRun, dataset: Dataset, lengths: np.ndarray) -> np.ndarray:
    found = np.full(dataset.n_users, np.nan)
    sequences, scorer = Sequences(dataset, scored.device), scored.under()
    on_device = torch.from_numpy(lengths.astype(np.int64)).to(scored.device)
    for users in in_order(np.flatnonzero(lengths), lengths, 256):
        who = torch.from_numpy(users).to(scored.device)
        histories, _ = sequences.padded(who, on_device[who], scored.max_length)
        found[users] = spread(scorer.score(histories, who)).cpu().numpy()
    return found
