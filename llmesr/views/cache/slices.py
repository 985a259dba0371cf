"""What Compare keeps of slices: the targets by what is known of their items and users. No threshold is read."""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmesr.evaluation import slices as slicing
from llmesr.evaluation import statistics
from llmesr.evaluation.slice_columns import target_times
from llmesr.evaluation.table import Group
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.cache.evidence import ANYWHERE, SAID, Lineup
from llmesr.views.cache.kept import digests, kept

_of_slices = digests(lineup="runs", dataset_id="datasets")


@kept(_of_slices, entries=8, spinner=SAID)
def slice_groups(root: Store, lineup: Lineup, dataset_id: str, metric: str, protocol: str) -> list[Group]:
    """See :func:`evaluation.slices.slices`; they do not depend on the thresholds."""
    rows = evidence.values_of(root, lineup, metric, protocol).rows
    data = artifacts.dataset(root, dataset_id)
    times = target_times(data, rows)
    return slicing.slices(rows, ANYWHERE, data.catalogue, data.user_attributes, times)


@kept(_of_slices, copies=True, entries=32, spinner=SAID)
def values_by_slice(root: Store, lineup: Lineup, dataset_id: str, metric: str, protocol: str) -> pd.DataFrame:
    """:func:`evidence.summary` of every slice; the dimension is the column."""
    return statistics.summary(
        evidence.values_of(root, lineup, metric, protocol),
        ANYWHERE,
        metrics=[metric],
        protocol=protocol,
        groups=slice_groups(root, lineup, dataset_id, metric, protocol),
        alone=evidence.without_luck(root, lineup),
    )


@kept(_of_slices, copies=True, entries=32, spinner=SAID)
def tests_by_slice(
    root: Store, lineup: Lineup, reference: str, dataset_id: str, metric: str, protocol: str
) -> pd.DataFrame:
    """:func:`evidence.comparison` of every slice, corrected over all of them."""
    return statistics.compare(
        evidence.values_of(root, lineup, metric, protocol),
        ANYWHERE,
        baseline=reference,
        metrics=[metric],
        protocol=protocol,
        groups=slice_groups(root, lineup, dataset_id, metric, protocol),
        alone=evidence.without_luck(root, lineup),
    )


@kept(_of_slices, entries=64, spinner="Searching slices …")
def stand_out(
    root: Store,
    lineup: Lineup,
    run: str,
    reference: str,
    question: slicing.Question,
    dataset_id: str,
    metric: str,
    protocol: str,
) -> list[slicing.Found]:
    """See :func:`evaluation.slices.stand_out`."""
    groups = slice_groups(root, lineup, dataset_id, metric, protocol)
    frames = evidence.frames_of(root, lineup)
    return slicing.stand_out(frames, run, reference, question, groups, metric=metric, protocol=protocol)


def users_in(root: Store, lineup: Lineup, group: Group, metric: str, protocol: str) -> np.ndarray:
    """The numbers of the users with a target in a slice."""
    return np.unique(evidence.values_of(root, lineup, metric, protocol).rows["user"].to_numpy()[group.members])
