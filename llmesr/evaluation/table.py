"""From ranks to metrics by group. Every number derives from the frame of ``evaluation.ranks.evaluate``.

A metric is written ``HR@10``: HR is 1 when the target is among the first 10, NDCG is 1 / log2(rank + 1)
there, MRR is 1 / rank there, each 0 below; a group's value is the mean over its users.

Where a split asks for several items of a user, they are candidates of one list. HR is then 1 when any of them is among
the first 10, MRR looks at the first of them, Recall is their share there, and NDCG is divided by that of the best list
there could be. In a group of items only those of its targets count; so a user can be in several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmesr.config import COLD
from llmesr.data.groups import Thresholds, quantile_buckets
from llmesr.errors import UserError

GAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "HR": np.ones_like,
    "NDCG": lambda rank: 1 / np.log2(rank + 1),
    "MRR": lambda rank: 1 / rank,
}
"""What a target is worth at its rank (users,), which is 1 for the best; a new metric is one entry."""
METRICS = tuple(GAINS)
RECALL = "Recall"
"""The share of a user's targets that are found, where there may be several; of one target it is HR."""
AT_ONCE = 2**20
"""Rows of which each user's values are held at once."""
READ = ("user", "rank", "history_length", "target_popularity")
"""The columns of ranks that metrics by group follow from."""
COLUMNS = ["dimension", "group", "metric", "value", "users"]


class Group(NamedTuple):
    """A named set of rows (targets of users). ``dimension`` is overall, item, user, cell, popularity or length."""

    dimension: str
    name: str
    members: np.ndarray  # (rows,) bool


def metric_values(rank: np.ndarray, metric: str) -> np.ndarray:
    """(rows,) value of ``metric`` for each rank (1 is best), of one target. UserError for an unknown metric."""
    name, k = parse_metric(metric)
    rank = np.asarray(rank, dtype=np.float64)
    return np.where(rank <= k, GAINS["HR" if name == RECALL else name](rank), 0.0)


def parse_metric(metric: str) -> tuple[str, int]:
    """``HR@10`` -> ("HR", 10). UserError for an unknown metric."""
    found, known = re.fullmatch(r"(\w+)@([1-9]\d*)", metric), (*GAINS, RECALL)
    if not found or found[1] not in known:
        raise UserError(f"{metric!r} is not a metric of ranks: one of {', '.join(known)}, then @ and K, as in HR@10.")
    return found[1], int(found[2])


def has_several(rows: pd.DataFrame) -> bool:
    """Whether a user has several targets among the rows of one protocol and part."""
    user = rows["user"].to_numpy()
    return not (user[1:] > user[:-1]).all() and bool(rows["user"].duplicated().any())


class UserValues:
    """Metrics per user, of one protocol and part: of the targets in a group, each user counted once.

    Users are in the order of the rows where each has one target, and in rising order where some have several.
    """

    def __init__(self, rows: pd.DataFrame, metrics: Sequence[str]) -> None:
        self.metrics = metrics
        self._rank = rows["rank"].to_numpy(dtype=np.float64)
        self._user = rows["user"].to_numpy() if has_several(rows) else None
        self._whole = np.stack([metric_values(self._rank, m) for m in metrics])  # (metrics, rows)

    def of(self, members: np.ndarray) -> np.ndarray:
        """(metrics, users) of the users with a target among ``members`` (rows,) bool."""
        if self._user is None:
            return self._whole[:, members]
        _, owner = np.unique(self._user[members], return_inverse=True)
        return np.stack([_of_several(self._rank[members], owner, m) for m in self.metrics])


def _of_several(rank: np.ndarray, owner: np.ndarray, metric: str) -> np.ndarray:
    """(users,) from the ranks (R,) of all targets, which belong to users ``owner`` (R,) 0, 1, ..."""
    name, k = parse_metric(metric)
    gain, users = metric_values(rank, metric), int(owner.max(initial=-1)) + 1
    if name not in (RECALL, "NDCG"):  # of the best placed of them
        best = np.zeros(users)
        np.maximum.at(best, owner, gain)
        return best
    many, total = np.bincount(owner, minlength=users), np.bincount(owner, weights=gain, minlength=users)
    if name == RECALL:
        return total / many
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    return np.asarray(total / ideal[np.minimum(many, k)])


def select(frame: pd.DataFrame, protocol: str, part: str | None = None) -> pd.DataFrame:
    """The rows of one protocol (and part). UserError when the frame has none of them."""
    keep = frame["protocol"].eq(protocol)
    if part is not None:
        keep &= frame["part"].eq(part)
    rows = frame[keep]
    if rows.empty:
        there = sorted(set((frame["part"] + "/" + frame["protocol"]).tolist()))
        wanted = f"{part}/{protocol}" if part else protocol
        only = f", only {', '.join(there)}" if there else ""
        raise UserError(f"There are no ranks of {wanted} here{only}: evaluate again.")
    return rows


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in rising order of users, as they usually are already; those of a user as they were."""
    user = rows["user"].to_numpy()
    if (user[1:] >= user[:-1]).all():
        return rows.reset_index(drop=True)
    return rows.sort_values("user", ignore_index=True, kind="stable")


def named_groups(rows: pd.DataFrame, thresholds: Thresholds) -> list[Group]:
    """Overall, Tail/Head Item (by the target), Tail/Head User and, where there is any, Cold Item."""
    members = thresholds.members(rows["target_popularity"].to_numpy(), rows["history_length"].to_numpy())
    return [Group(dimension_of(name), name, mask) for name, mask in members.items()]


def dimension_of(name: str) -> str:
    """overall, item or user: what a named group is a group of."""
    return name.split()[-1].lower()


def all_groups(rows: pd.DataFrame, thresholds: Thresholds) -> list[Group]:
    """The named groups, the four cells, and five buckets each by popularity and by history length."""
    groups = named_groups(rows, thresholds)
    items, users = ([g for g in groups if g.dimension == of and g.name != COLD] for of in ("item", "user"))
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

    Recall too where there are several targets of a user. An empty group has the value NaN and 0 users.
    """
    return table_of(select(frame, protocol, part), thresholds, ks)


def table_of(rows: pd.DataFrame, thresholds: Thresholds, ks: Sequence[int] = (5, 10, 20)) -> pd.DataFrame:
    """The same of ``rows`` of one protocol and part, user after user, of which :data:`READ` is read. Values of single
    users are held of some at a time."""
    names = [f"{m}@{k}" for m in (*GAINS, *([RECALL] if has_several(rows) else [])) for k in ks]
    groups = all_groups(rows, thresholds)
    totals, users = np.zeros((len(groups), len(names))), np.zeros(len(groups), np.int64)
    for some in _stretches(rows["user"].to_numpy()):
        found = UserValues(rows.iloc[some], names)
        for g, group in enumerate(groups):
            values = found.of(group.members[some])
            totals[g] += values.sum(1)
            users[g] += values.shape[1]
    means = np.divide(totals, users[:, None], out=np.full_like(totals, np.nan), where=users[:, None] > 0)
    table = [
        (group.dimension, group.name, name, float(value), int(many))
        for group, row, many in zip(groups, means, users, strict=True)
        for name, value in zip(names, row, strict=True)
    ]
    return pd.DataFrame(table, columns=COLUMNS)


def _stretches(user: np.ndarray) -> Iterator[slice]:
    """Rows, some at a time, and of no user (R,) only a part."""
    start = 0
    while start < len(user):
        end = min(start + AT_ONCE, len(user))
        while end < len(user) and user[end] == user[end - 1]:
            end += 1
        yield slice(start, end)
        start = end


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
    return float(UserValues(rows, [metric]).of(members[group]).mean())


def event_metrics(
    frame: pd.DataFrame, thresholds: Thresholds, metrics: Sequence[str] = ("HR@10", "NDCG@10")
) -> dict[str, float]:
    """``<protocol>/<group>/<metric>`` -> value for one line of events.jsonl; empty groups are left out."""
    found: dict[str, float] = {}
    for protocol in frame["protocol"].unique():
        rows = select(frame, protocol)
        own = UserValues(rows, metrics)
        for group in named_groups(rows, thresholds):
            if group.members.any():
                values = np.ascontiguousarray(own.of(group.members))
                found |= {f"{protocol}/{group.name}/{m}": float(v.mean()) for m, v in zip(metrics, values, strict=True)}
    return found
