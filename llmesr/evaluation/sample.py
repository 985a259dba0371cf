"""A fixed sample of the users of validation, for the judgements made while a model trains."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.table import UserValues, event_metrics, named_groups, select

Z = 1.959964
"""Standard errors on either side of a mean that make a 95% interval."""


def validation_sample(dataset: Dataset, users: int | None) -> np.ndarray | None:
    """(S,) users of validation in rising order, drawn by the dataset's seed: every run asks the same. None: all."""
    there = dataset.split.users("valid")
    if users is None or users >= len(there):
        return None
    rng = np.random.default_rng([dataset.seed, users])
    return np.sort(rng.choice(there, users, replace=False))


def judged(frame: pd.DataFrame, dataset: Dataset, config: RunConfig, *, sampled: bool) -> dict[str, float]:
    """Validation metrics for one line of events.jsonl; of a sample also how many were asked, and how far the watched
    metric may lie from that of all users: half of its 95% interval.

    UserError where validation has nobody in the watched group.
    """
    metrics = event_metrics(frame, dataset.thresholds, sorted({"HR@10", "NDCG@10", config.monitor}))
    rows = select(frame, config.monitor_protocol)
    groups = {group.name: group.members for group in named_groups(rows, dataset.thresholds)}
    members = groups.get(config.monitor_group)
    if members is None or not members.any():
        remedy = "Raise validation_users." if sampled else "Watch another group, or split the data another way."
        raise UserError(
            f"None of the {frame['user'].nunique():,} users that validation asks is in the group "
            f"{config.monitor_group!r}, which is watched. {remedy}"
        )
    if not sampled:
        return metrics
    (values,) = UserValues(rows, [config.monitor]).of(members)
    asked = {"validation_users": float(frame["user"].nunique())}
    return {**metrics, **asked, "validation_interval": Z * float(values.std()) / math.sqrt(len(values))}
