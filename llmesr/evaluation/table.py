"""From ranks to metrics by group. Every number derives from the frame of ``evaluation.ranks.evaluate``.

A metric is written ``HR@10``: HR is 1 when the target is among the first 10, NDCG is 1 / log2(rank + 1)
there, MRR is 1 / rank there, each 0 below; a group's value is the mean over its users.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmesr.config import GROUPS
from llmesr.data.groups import Thresholds, quantile_buckets
from llmesr.errors import UserError

GAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "HR": np.ones_like,
    "NDCG": lambda rank: 1 / np.log2(rank + 1),
    "MRR": lambda rank: 1 / rank,
}
"""What a target is worth at its rank (users,), which is 1 for the best; a new metric is one entry."""
METRICS = tuple(GAINS)
COLUMNS = ["dimension", "group", "metric", "value", "users"]


class Group(NamedTuple):
    """A named set of rows. ``dimension`` is overall, item, user, cell, popularity or length."""

    dimension: str
    name: str
    members: np.ndarray  # (rows,) bool


def metric_values(rank: np.ndarray, metric: str) -> np.ndarray:
    """(users,) value of ``metric`` for each rank (1 is best). UserError for an unknown metric."""
    found = re.fullmatch(r"(\w+)@([1-9]\d*)", metric)
    if not found or found[1] not in GAINS:
        raise UserError(f"{metric!r} is not a metric of ranks: one of {', '.join(GAINS)}, then @ and K, as in HR@10.")
    rank = np.asarray(rank, dtype=np.float64)
    return np.where(rank <= int(found[2]), GAINS[found[1]](rank), 0.0)


def select(frame: pd.DataFrame, protocol: str, part: str | None = None) -> pd.DataFrame:
    """The rows of one protocol (and part). UserError when the frame has none of them."""
    keep = frame["protocol"].eq(protocol)
    if part is not None:
        keep &= frame["part"].eq(part)
    rows = frame[keep]
    if rows.empty:
        there = sorted(set((frame["part"] + "/" + frame["protocol"]).tolist()))
        wanted = f"{part}/{protocol}" if part else protocol
        raise UserError(f"There are no ranks of {wanted} here, only {', '.join(there) or 'none'}: evaluate again.")
    return rows


def named_groups(rows: pd.DataFrame, thresholds: Thresholds) -> list[Group]:
    """Overall, Tail/Head Item (by the target) and Tail/Head User."""
    members = thresholds.members(rows["target_popularity"].to_numpy(), rows["history_length"].to_numpy())
    return [Group(dimension_of(name), name, members[name]) for name in GROUPS]


def dimension_of(name: str) -> str:
    """overall, item or user: what a named group is a group of."""
    return name.split()[-1].lower()


def all_groups(rows: pd.DataFrame, thresholds: Thresholds) -> list[Group]:
    """The named groups, the four cells, and five buckets each by popularity and by history length."""
    groups = named_groups(rows, thresholds)
    items, users = ([g for g in groups if g.dimension == of] for of in ("item", "user"))
    cells = [Group("cell", f"{u.name} x {i.name}", u.members & i.members) for u in users for i in items]
    return groups + cells + buckets(rows, "popularity") + buckets(rows, "length")


def buckets(rows: pd.DataFrame, dimension: str, count: int = 5) -> list[Group]:
    """At most ``count`` groups of similar size by the target's popularity or by history length."""
    column = {"popularity": "target_popularity", "length": "history_length"}[dimension]
    number, labels = quantile_buckets(rows[column].to_numpy(), count)
    return [Group(dimension, label, number == b) for b, label in enumerate(labels)]


def metric_table(
    frame: pd.DataFrame,
    thresholds: Thresholds,
    *,
    protocol: str = "full",
    part: str = "test",
    ks: Sequence[int] = (5, 10, 20),
) -> pd.DataFrame:
    """HR, NDCG and MRR at every K for every group: columns dimension, group, metric, value, users.

    An empty group has the value NaN and 0 users.
    """
    rows = select(frame, protocol, part)
    names = [f"{m}@{k}" for m in GAINS for k in ks]
    values = np.stack([metric_values(rows["rank"].to_numpy(), n) for n in names])  # (metrics, users)
    table = []
    for group in all_groups(rows, thresholds):
        users = int(group.members.sum())
        means = values[:, group.members].mean(1) if users else np.full(len(names), np.nan)
        table += [(group.dimension, group.name, n, float(v), users) for n, v in zip(names, means, strict=True)]
    return pd.DataFrame(table, columns=COLUMNS)


def quick_metrics(
    frame: pd.DataFrame,
    thresholds: Thresholds,
    metric: str = "NDCG@10",
    group: str = "Overall",
    protocol: str = "full",
) -> float:
    """One metric of one named group, as a stopping rule watches it. UserError for an empty group."""
    rows = select(frame, protocol)
    members = {g.name: g.members for g in named_groups(rows, thresholds)}
    if group not in members:
        raise UserError(f"{group!r} is not a group; one of {', '.join(members)}.")
    if not members[group].any():
        raise UserError(f"No evaluated user is in {group!r} ({thresholds.describe()}), so it cannot be watched.")
    return float(metric_values(rows["rank"].to_numpy()[members[group]], metric).mean())


def event_metrics(
    frame: pd.DataFrame, thresholds: Thresholds, metrics: Sequence[str] = ("HR@10", "NDCG@10")
) -> dict[str, float]:
    """``<protocol>/<group>/<metric>`` -> value for one line of events.jsonl; empty groups are left out."""
    found: dict[str, float] = {}
    for protocol in frame["protocol"].unique():
        rows = select(frame, protocol)
        values = {m: metric_values(rows["rank"].to_numpy(), m) for m in metrics}
        for group in named_groups(rows, thresholds):
            if group.members.any():
                found |= {f"{protocol}/{group.name}/{m}": float(v[group.members].mean()) for m, v in values.items()}
    return found
