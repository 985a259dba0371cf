"""Ranks as in life: each user has a difficulty that all runs share, a rare target is harder, a method has skills."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from llmesr.data.dataset import Dataset
from llmesr.data.split import Part
from llmesr.evaluation.table import metric_table

SKILLS: dict[str, tuple[float, float]] = {
    "popularity": (0.9, -1.4),
    "semantic-knn": (0.5, 0.7),
    "item-knn": (1.2, -0.6),
    "markov": (1.25, -0.7),
    "ease": (1.35, -0.6),
    "text-ease": (1.4, 0.5),
    "ials": (1.2, -0.5),
    "id": (1.3, -0.8),
    "llm-init": (1.5, 0.1),
    "adapter": (1.2, 0.5),
    "llm-esr": (1.55, 0.6),
    "llmemb": (1.5, 0.5),
    "codes": (1.3, 0.3),
    "language": (1.1, 0.5),
    "generative": (1.2, 0.2),
}
"""Method -> (skill on head targets, skill on tail targets), in standard deviations of difficulty."""


TOP = 20


def part_frame(
    dataset: Dataset, method: str, seed: int, part: Part, skill: tuple[float, float]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The long frame of one part and each user's quantile (0 best, 1 worst) among the other candidates."""
    users = dataset.split.users(part)
    targets = dataset.split.targets(part)
    popularity = dataset.item_counts[targets]
    shared = np.random.default_rng([dataset.seed, part == "test", 1]).normal(size=len(users))
    own = np.random.default_rng([seed, part == "test", *map(ord, method)]).normal(size=len(users))
    head = ~dataset.thresholds.tail_items(popularity)
    quantile = norm.cdf(0.8 * shared + 0.6 * own - np.where(head, *skill))
    seen = dataset.split.input_lengths(part)[users]
    n = dataset.n_items
    full = np.maximum(n - seen, 1)  # repeats make it an approximation, which nothing here depends on
    sampled = np.minimum(101, np.maximum(n - dataset.lengths[users] + 1, 1))
    luck = np.random.default_rng([dataset.seed, part == "test", 2]).uniform(size=len(users))
    uni_rank = 1 + np.floor(quantile * (sampled - 1) + luck * (quantile > 1 / sampled)).clip(0, sampled - 1)
    ranks = {"full": 1 + np.floor(quantile * (full - 1)), "uni100": uni_rank}
    item_ids = dataset.catalogue["item_id"].to_numpy()
    common = {
        "user": users.astype(np.int32),
        "user_id": dataset.user_ids[users],
        "target": targets.astype(np.int32),
        "target_id": item_ids[targets - 1],
        "part": part,
        "history_length": dataset.split.train_lengths[users].astype(np.int32),
        "target_popularity": popularity.astype(np.int32),
    }
    frames = [
        pd.DataFrame({**common, "protocol": p, "rank": ranks[p].astype(np.int32), "candidates": c.astype(np.int32)})
        for p, c in (("full", full), ("uni100", sampled))
    ]
    return pd.concat(frames, ignore_index=True), quantile


def top_items(dataset: Dataset, ranks: np.ndarray, skill: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """(U_eval, 20) unseen items: flatter in popularity the better the tail skill; the target where its rank says."""
    weight = dataset.item_counts[1:].astype(float) + 0.5
    taste = np.log(weight) * (1.2 - 0.5 * skill[1]) + rng.gumbel(size=(len(ranks), dataset.n_items))
    top = np.zeros((len(ranks), TOP), np.int32)
    for row, (user, target, rank) in enumerate(
        zip(dataset.split.users("test"), dataset.split.targets("test"), ranks, strict=True)
    ):
        ranked = np.argsort(-taste[row], kind="stable") + 1
        others = ranked[~np.isin(ranked, [*dataset.history(int(user)), target])]
        full = np.insert(others, min(int(rank) - 1, len(others)), target) if rank <= TOP else others
        top[row, : min(TOP, len(full))] = full[:TOP]
    return top


def metric_rows(dataset: Dataset, per_user: pd.DataFrame) -> list[dict[str, object]]:
    tables = [
        metric_table(per_user, dataset.thresholds, protocol=protocol).assign(protocol=protocol)
        for protocol in ("full", "uni100")
    ]
    rows: list[dict[str, object]] = pd.concat(tables, ignore_index=True).to_dict("records")
    return rows
