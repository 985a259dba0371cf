"""What lists of recommendations are like beyond accuracy: who gets exposure, how new, how varied.

``top_items`` (U, K) holds item numbers best first, 0 where a list is shorter; rows are the users of
``dataset.split.users("test")``. Popularity is the number of training interactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds, quantile_buckets
from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.evaluation.table import COLUMNS
from llmesr.ids import PAD

_BLOCK = 2**22
"""Cells of item vectors held at once when measuring diversity (16 MB of float32)."""

DEFINITIONS: dict[str, str] = {
    "Coverage": "Share of the catalogue that is recommended to at least one user.",
    "Gini": "Inequality of exposure over the catalogue: 0 all items equally often, 1 one item alone.",
    "ARP": "Average recommendation popularity: training interactions of the recommended items.",
    "APLT": "Average share of tail items in a user's list.",
    "Novelty": "Mean surprise of the recommended items in bits: -log2 of their share of the training interactions.",
    "ILD": "Intra-list diversity: mean cosine distance between the texts of two items of a list.",
}


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of non-negative ``counts`` (n,); NaN when they are all zero."""
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    total, n = ordered.sum(), len(ordered)
    if total == 0:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def list_values(
    top_items: np.ndarray,
    item_counts: np.ndarray,
    thresholds: Thresholds,
    *,
    k: int = 10,
    vectors: np.ndarray | None = None,
) -> pd.DataFrame:
    """Per user: ARP, APLT, Novelty and, given ``vectors`` (N + 1, E), ILD of the first ``k`` items.

    ``item_counts`` (N + 1,). NaN for an empty list (for ILD: fewer than two items). Novelty counts every item once
    more than it was chosen, so that items never chosen in training are very new and not infinitely so.
    """
    lists = _first(top_items, k)
    real = lists != PAD
    share = (item_counts + 1) / (item_counts[1:].sum() + len(item_counts) - 1)
    values = {
        "ARP": _mean(item_counts[lists], real),
        "APLT": _mean(thresholds.tail_items(item_counts[lists]), real),
        "Novelty": _mean(-np.log2(share[lists]), real),
    }
    if vectors is not None:
        values["ILD"] = _diversity(lists, vectors)
    return pd.DataFrame(values)


def beyond_table(
    top_items: np.ndarray,
    dataset: Dataset,
    thresholds: Thresholds,
    *,
    ks: Sequence[int] = (10,),
    vectors: np.ndarray | None = None,
) -> pd.DataFrame:
    """Every measure at every K for Overall, Tail User and Head User, in the columns of ``metric_table``:
    dimension, group, metric, value, users. ``vectors`` (N + 1, E) adds ILD."""
    users = dataset.split.users("test")
    if len(top_items) != len(users):
        raise ValueError(f"top_items has {len(top_items)} rows for {len(users)} evaluated users")
    tail = thresholds.tail_users(dataset.split.train_lengths[users])
    groups = [
        ("overall", "Overall", np.ones(len(users), bool)),
        ("user", "Tail User", tail),
        ("user", "Head User", ~tail),
    ]
    rows = []
    for k in ks:
        values = list_values(top_items, dataset.item_counts, thresholds, k=k, vectors=vectors)
        for dimension, name, members in groups:
            found = exposure(top_items[members], dataset.n_items, k=k)
            found |= {m: _nanmean(v[members]) for m, v in values.items()}
            size = int(members.sum())
            rows += [(dimension, name, f"{m}@{k}", v if size else np.nan, size) for m, v in found.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def exposure(top_items: np.ndarray, n_items: int, *, k: int = 10) -> dict[str, float]:
    """Coverage and Gini of the first ``k`` items of all lists together."""
    shown = np.bincount(_first(top_items, k).ravel(), minlength=n_items + 1)[1:]
    return {"Coverage": float((shown > 0).mean()), "Gini": gini(shown)}


def overlap(tops: Mapping[str, np.ndarray], *, k: int = 10) -> pd.DataFrame:
    """How alike the lists of two runs are: run, other, jaccard (mean over users of shared / all items of both).

    One row per ordered pair, a run with itself included, so that it pivots into a square.
    """
    lists = {run: _first(top, k) for run, top in tops.items()}
    if len({len(top) for top in lists.values()}) > 1:
        raise UserError("These runs were evaluated on different users: their lists cannot be compared.")
    return pd.DataFrame(
        [(a, b, float(jaccard(x, y).mean())) for a, x in lists.items() for b, y in lists.items()],
        columns=["run", "other", "jaccard"],
    )


def jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(U,) shared items / items of either list, for lists (U, K) and (U, J); 1 where both are empty."""
    shared = ((first[:, :, None] == second[:, None, :]) & (first[:, :, None] != PAD)).sum((1, 2))
    either = (first != PAD).sum(1) + (second != PAD).sum(1) - shared
    return np.where(either == 0, 1.0, shared / np.maximum(either, 1))


def calibration(top_items: np.ndarray, dataset: Dataset, thresholds: Thresholds, *, k: int = 10) -> pd.DataFrame:
    """Does a user's list follow that user's own taste for popular items? One row per evaluated user.

    Columns user, user_id, history_length, history_popularity and list_popularity (mean training counts), lift (their
    ratio - 1: 0 is calibrated, above is pushed to the popular), history_tail and list_tail (shares of tail items),
    divergence (Jensen-Shannon, 0..1, between the two distributions over five popularity classes that each hold a
    fifth of the training interactions. The history is its training part; NaN for a user who has none.
    """
    users, counts = dataset.split.users("test"), dataset.item_counts
    lists = _first(top_items, k)
    lengths = dataset.split.train_lengths
    owner = np.repeat(np.arange(dataset.n_users), lengths)
    place = np.full(dataset.n_users, -1)
    place[users] = np.arange(len(users))
    row, item = place[owner], dataset.split.train_items
    row, item = row[row >= 0], item[row >= 0]
    levels = _classes(counts, dataset.split.train_items)
    before = _shares(row, levels[item], len(users), int(levels.max()) + 1)
    real = lists != PAD
    after = _shares(np.nonzero(real)[0], levels[lists[real]], len(users), before.shape[1])
    own = lengths[users]
    taste = _per(_sum(row, counts[item], len(users)), own)
    shown = _mean(counts[lists], real)
    return pd.DataFrame(
        {
            "user": users,
            "user_id": dataset.user_ids[users],
            "history_length": own,
            "history_popularity": taste,
            "list_popularity": shown,
            "lift": shown / taste - 1,
            "history_tail": _per(_sum(row, thresholds.tail_items(counts[item]), len(users)), own),
            "list_tail": _mean(thresholds.tail_items(counts[lists]), real),
            "divergence": np.where(real.any(1) & (own > 0), _jensen_shannon(before, after), np.nan),
        }
    )


def _first(top_items: np.ndarray, k: int) -> np.ndarray:
    if top_items.shape[1] < k:
        raise UserError(f"Only the first {top_items.shape[1]} recommendations are stored, not {k}: ask for fewer.")
    return top_items[:, :k]


def _mean(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean over the real entries of each row; NaN for a row without any."""
    count = real.sum(axis=1)
    return _per(np.where(real, values, 0).sum(axis=1), count)


def _per(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """``total / count``, NaN where there is nothing to divide by."""
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def _nanmean(values: pd.Series) -> float:
    return float(values.mean()) if values.notna().any() else float("nan")


def _diversity(lists: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Mean of 1 - cosine over pairs: |sum of unit vectors|^2 holds the sum of all pairs' cosines."""
    unit = unit_rows(vectors)
    unit[PAD] = 0
    has = np.asarray(unit.any(axis=1))  # items without text have no place in the mean
    result = np.full(len(lists), np.nan)
    step = max(1, _BLOCK // (lists.shape[1] * vectors.shape[1]))
    for start in range(0, len(lists), step):
        rows = lists[start : start + step]
        n = has[rows].sum(axis=1)
        total = unit[rows].sum(axis=1)  # (b, E)
        cosines = ((total**2).sum(axis=1) - n) / np.maximum(n * (n - 1), 1)
        result[start : start + step] = np.where(n > 1, 1 - cosines, np.nan)
    return result


def _classes(counts: np.ndarray, train_items: np.ndarray) -> np.ndarray:
    """(N + 1,) popularity class of every item; each class holds about a fifth of the interactions."""
    _, labels = quantile_buckets(counts[train_items])
    starts = [int(label.split("-")[0]) for label in labels]
    return np.searchsorted(starts[1:], counts, side="right")


def _shares(row: np.ndarray, level: np.ndarray, rows: int, levels: int) -> np.ndarray:
    """(rows, levels) distribution of ``level`` within each row."""
    table = np.bincount(row * levels + level, minlength=rows * levels).reshape(rows, levels).astype(float)
    return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), 1))


def _sum(row: np.ndarray, value: np.ndarray, rows: int) -> np.ndarray:
    return np.bincount(row, weights=value, minlength=rows)


def _jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    middle = (p + q) / 2

    def relative(a: np.ndarray) -> np.ndarray:
        ratio = np.divide(a, middle, out=np.ones_like(a), where=a > 0)
        return np.asarray((a * np.log2(ratio)).sum(axis=1))

    return np.asarray((relative(p) + relative(q)) / 2)
