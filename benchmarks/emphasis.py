"""Whom a sum serves as tail items count more in it: against the best single method of each group, on validation.

Not run by itself: `best.py --emphasis` trains or finds the runs and prints these tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import mean
from typing import NamedTuple

import numpy as np

from llmesr.config import GROUPS
from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.evaluation.table import event_metrics
from llmesr.runs.record import Run

METRICS = ("NDCG@10", "HR@10")
SHOWN = ("Overall", "Tail Item", "Head Item")
MEASURES = [f"{protocol}/{group}/{metric}" for protocol, metric, group in product(PROTOCOLS, METRICS, GROUPS)]
"""Everything in which a sum is compared with single methods."""


class Lack(NamedTuple):
    """A measure in which a sum has less than a single method, the best one there."""

    measure: str
    value: float
    best: float
    name: str


def on_validation(runs: Sequence[Run], data: Dataset, users: np.ndarray | None = None) -> dict[str, float]:
    """Every measure, ``<protocol>/<group>/<metric>``, as its mean over ``runs`` of several seeds; of ``users`` alone
    where they are given."""
    frames = [frame[frame["part"] == "valid"] for frame in (run.per_user() for run in runs)]
    if users is not None:
        frames = [frame[frame["user"].isin(users)] for frame in frames]
    each = [event_metrics(frame, data.thresholds, METRICS) for frame in frames]
    return {measure: mean(values[measure] for values in each) for measure in MEASURES if measure in each[0]}


def lacking(own: Mapping[str, float], single: Mapping[str, Mapping[str, float]]) -> list[Lack]:
    """Where ``own`` is below the best of the ``single`` methods, by name."""
    found = []
    for measure, value in own.items():
        name = max(single, key=lambda label: single[label][measure])
        if value < single[name][measure]:
            found.append(Lack(measure, value, single[name][measure], name))
    return found


def told(sums: Mapping[float, Mapping[str, float]], single: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """A table by emphasis, then for each emphasis what it lacks."""
    columns = [f"{p}/{g}/{m}" for p, m, g in product(PROTOCOLS, METRICS, SHOWN)]
    columns = [column for column in columns if all(column in values for values in sums.values())]
    yield f"| emphasis | {' | '.join(columns)} | measures below |"
    yield "|---" * (len(columns) + 2) + "|"
    for emphasis, values in sums.items():
        cells = " | ".join(f"{values[column]:.4f}" for column in columns)
        yield f"| {emphasis:g} | {cells} | {len(lacking(values, single))} of {len(values)} |"
    for emphasis, values in sums.items():
        lacks = lacking(values, single)
        yield f"\nEmphasis {emphasis:g}: {'below a single method in' if lacks else 'nowhere below a single method.'}"
        for lack in lacks:
            less = lack.value - lack.best
            yield f"- {lack.measure}: {lack.value:.4f} against {lack.best:.4f} of {lack.name} ({less:+.4f})"
