"""The shape of a dataset: how popular items are, how long histories are, how much lies in the tail.

All counts are of the training part only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds

POINTS = 400


@dataclass(frozen=True)
class Profile:
    """Numbers and frames for charts; frames are thinned to a few hundred points.

    ``popularity``: rank (1 = most chosen), count. ``lorenz``: items, interactions (cumulative
    shares, least chosen first). ``lengths``: length, users. ``summary``: plain numbers.
    """

    popularity: pd.DataFrame
    lorenz: pd.DataFrame
    lengths: pd.DataFrame
    summary: dict[str, Any]

    def rows(self) -> list[list[str]]:
        """The summary as label and text, for a table."""
        s = self.summary
        return [
            ["users", f"{s['users']:,}"],
            ["items", f"{s['items']:,}"],
            ["interactions", f"{s['interactions']:,}"],
            ["training interactions", f"{s['training_interactions']:,}"],
            ["density", f"{s['density']:.4%}"],
            [
                "history length, median / mean / longest",
                f"{s['length_median']:g} / {s['length_mean']:.1f} / {s['length_max']:,}",
            ],
            ["users for training only", f"{s['short_users']:,}"],
            ["users judged, validation / test", f"{s['valid_users']:,} / {s['test_users']:,}"],
            ["users without a past, validation / test", f"{s['valid_strangers']:,} / {s['test_strangers']:,}"],
            ["Gini of item popularity", f"{s['gini']:.3f}"],
            ["interactions with the top 1% of items", f"{s['top1_share']:.1%}"],
            [f"tail items (fewer than {s['item_threshold']})", f"{s['tail_items']:,} ({s['tail_item_share']:.1%})"],
            ["interactions with tail items", f"{s['tail_item_interactions']:.1%}"],
            ["test targets that are tail items", f"{s['tail_item_targets']:.1%}"],
            ["test targets never chosen in training", f"{s['cold_targets']:,} ({s['cold_target_share']:.1%})"],
            [f"tail users (fewer than {s['user_threshold']})", f"{s['tail_users']:,} ({s['tail_user_share']:.1%})"],
            ["items never chosen in training", f"{s['cold_items']:,}"],
        ]


def profile(dataset: Dataset, thresholds: Thresholds | None = None) -> Profile:
    """Describe a dataset under ``thresholds`` (its own when None). Linear in users, items and interactions."""
    cut = thresholds or dataset.thresholds
    counts = dataset.item_counts[1:]
    train = dataset.split.train_lengths
    ordered = np.sort(counts)[::-1]
    values, users = np.unique(dataset.lengths, return_counts=True)
    split = dataset.split
    _, targets = split.pairs("test")
    tail_items, tail_users = cut.tail_items(counts), cut.tail_users(train)
    total = int(counts.sum())
    summary = {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": len(dataset.items),
        "training_interactions": total,
        "density": len(dataset.items) / max(dataset.n_users * dataset.n_items, 1),
        "length_mean": float(dataset.lengths.mean()) if dataset.n_users else 0.0,
        "length_median": float(np.median(dataset.lengths)) if dataset.n_users else 0.0,
        "length_max": int(dataset.lengths.max(initial=0)),
        "short_users": int(dataset.n_users - len(np.union1d(split.users("valid"), split.users("test")))),
        "valid_users": len(split.users("valid")),
        "test_users": len(split.users("test")),
        "valid_strangers": split.without_past("valid"),
        "test_strangers": split.without_past("test"),
        "gini": gini(counts),
        "top1_share": _share(ordered[: max(1, len(ordered) // 100)].sum(), total),
        "item_threshold": cut.item,
        "user_threshold": cut.user,
        "tail_items": int(tail_items.sum()),
        "tail_item_share": _share(tail_items.sum(), len(counts)),
        "tail_item_interactions": _share(counts[tail_items].sum(), total),
        "tail_item_targets": _share(tail_items[targets - 1].sum(), len(targets)),
        "cold_targets": int(cut.cold_items(counts[targets - 1]).sum()),
        "cold_target_share": _share(cut.cold_items(counts[targets - 1]).sum(), len(targets)),
        "tail_users": int(tail_users.sum()),
        "tail_user_share": _share(tail_users.sum(), len(train)),
        "cold_items": int(cut.cold_items(counts).sum()),
    }
    return Profile(
        popularity=_thinned(pd.DataFrame({"rank": np.arange(1, len(ordered) + 1), "count": ordered}), log=True),
        lorenz=lorenz(counts),
        lengths=pd.DataFrame({"length": values, "users": users}),
        summary=summary,
    )


def gini(counts: np.ndarray) -> float:
    """Inequality of ``counts``: 0 when all are equal, towards 1 when one has everything."""
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    total = ordered.sum()
    if total == 0:
        return 0.0
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def lorenz(counts: np.ndarray) -> pd.DataFrame:
    """Cumulative share of items (least chosen first) and of interactions, from (0, 0) to (1, 1)."""
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    total = ordered.sum() or 1.0
    frame = pd.DataFrame(
        {
            "items": np.arange(len(ordered) + 1) / max(len(ordered), 1),
            "interactions": np.concatenate([[0.0], np.cumsum(ordered) / total]),
        }
    )
    return _thinned(frame, log=False)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _thinned(frame: pd.DataFrame, *, log: bool) -> pd.DataFrame:
    """At most POINTS rows, evenly over the rows or over their logarithm; first and last stay."""
    n = len(frame)
    if n <= POINTS:
        return frame
    rows = np.geomspace(1, n, POINTS) - 1 if log else np.linspace(0, n - 1, POINTS)
    return frame.iloc[np.unique(np.round(rows).astype(np.int64))].reset_index(drop=True)


def training_lengths(dataset: Dataset) -> pd.DataFrame:
    """length, users: how many users have how many training interactions."""
    values, users = np.unique(dataset.split.train_lengths, return_counts=True)
    return pd.DataFrame({"length": values, "users": users})


def known_of_users(dataset: Dataset) -> pd.DataFrame:
    """attribute, type, known (share of users), values (how many different), seen (the range of numbers; the most
    frequent text with its share of the known): a row for each attribute of users, none without a file of users."""
    people = dataset.user_attributes if dataset.user_attributes is not None else pd.DataFrame({"user_id": []})
    rows = []
    for column in people.columns.drop("user_id"):
        values = people[column].dropna()
        counts = values.value_counts()
        number = pd.api.types.is_numeric_dtype(values)
        seen = ""
        if len(values):
            most = f"mostly {counts.index[0]} ({counts.iloc[0] / len(values):.0%})"
            seen = f"{values.min():g} to {values.max():g}" if number else most
        rows.append([column, "number" if number else "text", len(values) / max(dataset.n_users, 1), len(counts), seen])
    return pd.DataFrame(rows, columns=["attribute", "type", "known", "values", "seen"])
