"""What Compare keeps of segments: who is in a bucket, gaps between users, hits weighted by what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from llmesr.evaluation import fairness
from llmesr.evaluation import worth as worths
from llmesr.evaluation.slices import target_values
from llmesr.evaluation.table import buckets, in_order, select
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence, slices
from llmesr.views.cache.kept import digests, kept

Lineup = Mapping[str, Sequence[str]]
_of_slices = digests(lineup="runs", dataset_id="datasets")


def users_in_bucket(root: Store, lineup: Lineup, dimension: str, bucket: str, protocol: str) -> np.ndarray:
    """The numbers of the users with a target in a bucket of :func:`evidence.curves`."""
    rows = _rows(root, lineup, protocol)
    inside = [group.members for group in buckets(rows, dimension) if group.name == bucket]
    return np.unique(rows["user"].to_numpy()[inside[0]]) if inside else np.zeros(0, np.int64)


@kept(_of_slices, entries=32, spinner="Comparing segments …")
def disparities(
    root: Store, lineup: Lineup, run: str, dataset_id: str, metric: str, protocol: str
) -> list[fairness.Disparity]:
    """See :func:`evaluation.fairness.disparities`, of the contender ``run``."""
    groups = slices.slice_groups(root, lineup, dataset_id, metric, protocol)
    values = target_values([artifacts.per_user(root, id) for id in lineup[run]], metric, protocol, "test")
    return fairness.disparities(values, groups, _rows(root, lineup, protocol)["user"].to_numpy())


def amounts(root: Store, dataset_id: str) -> list[str]:
    """The columns of the items that hold money."""
    return list(worths.amounts(artifacts.dataset(root, dataset_id).catalogue))


@kept(_of_slices, copies=True, entries=16, spinner=evidence.SAID)
def worth(
    root: Store, lineup: Lineup, reference: str, dataset_id: str, column: str, metric: str, protocol: str
) -> pd.DataFrame:
    """See :func:`evaluation.worth.worth`: hits weighted by a column of the items."""
    amount = worths.amounts(artifacts.dataset(root, dataset_id).catalogue)[column]
    frames = {name: [artifacts.per_user(root, id) for id in ids] for name, ids in lineup.items()}
    return worths.worth(frames, reference, amount, metric=metric, protocol=protocol)


def _rows(root: Store, lineup: Lineup, protocol: str) -> pd.DataFrame:
    """The targets of the test part, the same for every contender, in the order of users."""
    first = next(iter(lineup.values()))[0]
    return in_order(select(artifacts.per_user(root, first), protocol, "test"))
