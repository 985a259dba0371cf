"""Each user's value of each metric, users aligned over the rank frames of all contenders.

A *contender* is one configuration: a label and the rank frames of its seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmesr.errors import UserError
from llmesr.evaluation.table import Group, UserValues, has_several, in_order, select

Contenders = Mapping[str, Sequence[pd.DataFrame]]


class Values(NamedTuple):
    """``rows``: the targets (any contender's attributes), one row per user where each has one;
    ``values``: label -> (seeds, U, metrics).

    ``several`` is there where a user may have several targets: label -> the metrics of each seed, by group.
    Where thresholds alone change from call to call, it is made once and given in the place of contenders.
    """

    rows: pd.DataFrame
    values: dict[str, np.ndarray]
    several: dict[str, list[UserValues]] | None = None

    def inside(self, label: str, group: Group) -> np.ndarray:
        """(seeds, users of the group, metrics), of the targets in the group alone."""
        if self.several is None:
            return np.asarray(self.values[label][:, group.members])
        return np.stack([found.of(group.members).T for found in self.several[label]])

    def users(self, group: Group) -> np.ndarray:
        """(U,) bool: who has a target in the group."""
        if self.several is None:
            return group.members
        user = self.rows["user"].to_numpy()
        return np.isin(np.unique(user), user[group.members])

    def mean(self, label: str) -> np.ndarray:
        """(U, metrics) averaged over seeds."""
        return np.asarray(self.values[label].mean(axis=0))


def per_user(contenders: Contenders | Values, metrics: Sequence[str], protocol: str, part: str) -> Values:
    """Each user's value of each metric, users aligned over every frame; ``Values`` of the same are passed through.

    UserError when two frames do not hold the same users with the same held-out items.
    """
    if isinstance(contenders, Values):
        return contenders
    rows: pd.DataFrame | None = None
    first = ""
    values: dict[str, np.ndarray] = {}
    several: dict[str, list[UserValues]] = {}
    for label, frames in contenders.items():
        if not frames:
            raise ValueError(f"contender {label!r} has no frames")
        found = []
        for frame in frames:
            own = in_order(select(frame, protocol, part))
            if rows is None:
                rows, first = own, label
            _same_users(rows, own, first, label)
            found.append(UserValues(own, metrics))
        values[label] = np.stack([one.of(np.ones(len(own), bool)).T for one in found])
        several[label] = found
    if rows is None:
        raise ValueError("no contenders")
    return Values(rows, values, several if has_several(rows) else None)


def _same_users(rows: pd.DataFrame, own: pd.DataFrame, first: str, label: str) -> None:
    for key, what in (("dataset", "dataset"), ("negatives_seed", "seed of the uni100 negatives")):
        a, b = rows.attrs.get(key), own.attrs.get(key)
        if a != b and None not in (a, b):
            raise UserError(f"{first!r} and {label!r} cannot be compared: their {what} differs ({a} and {b}).")
    for column, what in (
        ("user_id", "users"),
        ("target_id", "held-out items (the split)"),
        ("history_length", "training histories"),
        ("target_popularity", "training counts of items"),
        ("candidates", "candidates"),
    ):
        if len(rows) != len(own) or (rows[column].to_numpy() != own[column].to_numpy()).any():
            raise UserError(f"{first!r} and {label!r} cannot be compared: their {what} differ. Evaluate both again.")
