"""How candidates are measured on validation, and which is the best.

The two protocols reward different things: full ranking what tells close items apart, uni100 also how popular an item
is. A candidate counts by the mean of its shares of the best value under each, so that whoever leads under one alone
does not win by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmesr.config import BestConfig
from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.evaluation.table import event_metrics
from llmesr.runs.record import Run

METRIC = "NDCG@10"


def measured(run: Run, dataset: Dataset) -> dict[str, float]:
    """``<protocol>/<group>/NDCG@10`` -> value on validation; of what was fitted there by other users' weights."""
    return event_metrics(run.per_user("valid"), dataset.thresholds, [METRIC])


def columns(objective: str) -> list[str]:
    """The metrics that count."""
    groups = ("Overall", "Tail Item") if objective == "balanced" else ("Overall",)
    return [f"{protocol}/{group}/{METRIC}" for group in groups for protocol in PROTOCOLS]


def shares(measures: Sequence[Mapping[str, float]], config: BestConfig) -> list[float]:
    """For each candidate the mean of its shares of the best value in every column; 1 leads in all of them.

    A column in which nobody finds anything, or which has no users, is left out.
    """
    greatest = {name: max((m.get(name, 0.0) for m in measures), default=0.0) for name in columns(config.objective)}
    counted = {name: best for name, best in greatest.items() if best > 0}
    if not counted:
        return [0.0] * len(measures)
    return [sum(m.get(name, 0.0) / best for name, best in counted.items()) / len(counted) for m in measures]


def best_of(measures: Mapping[str, Mapping[str, float]], config: BestConfig) -> str:
    """The name with the greatest share; of equals the first."""
    found = shares(list(measures.values()), config)
    return list(measures)[max(range(len(found)), key=lambda i: (found[i], -i))]


def describe(objective: str) -> str:
    """The criterion in a sentence."""
    tail = ", of all users and of those whose target is a tail item" if objective == "balanced" else ""
    return (
        f"Judged on validation by the mean, over full ranking and uni100{tail}, of {METRIC} as a share of the best "
        "candidate's."
    )
