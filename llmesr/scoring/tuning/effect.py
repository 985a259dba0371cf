"""What each re-ranker does to accuracy and to exposure, measured on held-out items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from llmesr.data.batches import Sequences, in_order
from llmesr.data.split import Part
from llmesr.evaluation.beyond import exposure, list_values
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import top_unseen
from llmesr.ids import PAD
from llmesr.progress import Progress, silent
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.rerankers import RERANKERS, RerankConfig, rerank

STRENGTHS = (0.1, 0.3, 0.5)
EVERY: tuple[RerankConfig, ...] = (
    RerankConfig(),
    *(RerankConfig(name=name, strength=s) for name in RERANKERS for s in STRENGTHS),
)
"""No re-ranking, then every re-ranker at three strengths."""


@dataclass(frozen=True, eq=False)
class _Pools:
    """The candidates of V users, best first; 0 where there are fewer than C."""

    users: np.ndarray  # (V,)
    targets: np.ndarray  # (V,) the first of each user
    items: np.ndarray  # (V, C)
    scores: np.ndarray  # (V, C)


def effects(
    recommender: Recommender,
    rerankers: Sequence[RerankConfig] = EVERY,
    *,
    policy: ScoringPolicy | None = None,
    part: Part = "test",
    k: int = 10,
    users: int = 2000,
    seed: int = 0,
    progress: Progress = silent,
) -> pd.DataFrame:
    """One row per re-ranker, under full ranking: reranker, strength, users, HR@k, NDCG@k, ``Tail Item NDCG@k``,
    Coverage@k, Gini@k, ARP@k, APLT@k, Novelty@k and, where there is text, ILD@k.

    Measured on a random sample of ``users`` (all when there are fewer). Lists hold items outside the input
    history, as the evaluation ranks them. Of several targets of a user the first counts. Re-rankers that compare items
    are left out where there is nothing to compare them by.
    """
    dataset = recommender.dataset
    everyone = dataset.split.users(part)
    some = everyone
    if len(everyone) > users:
        some = np.sort(np.random.default_rng(seed).choice(everyone, users, replace=False))
    width = max([k, *(r.candidates for r in rerankers)])
    chosen = recommender.policy if policy is None else policy
    pools = _pools(recommender, chosen, some, part, min(width, dataset.n_items))
    text = recommender.embedding.padded() if recommender.embedding is not None else None
    rows = []
    rerankers = [r for r in rerankers if recommender.has_vectors or not r.compares]
    for done, config in enumerate(rerankers):
        top = _lists(recommender, pools, config, part, k)
        rows.append({"reranker": config.name, "strength": config.strength if config.name != "none" else 0.0}
                    | _measures(recommender, pools, top, k, text))  # fmt: skip
        progress("re-ranking", done + 1, len(rerankers))
    return pd.DataFrame(rows)


@torch.inference_mode()
def _pools(recommender: Recommender, policy: ScoringPolicy, users: np.ndarray, part: Part, width: int) -> _Pools:
    dataset, device = recommender.dataset, recommender.device
    scorer = recommender.scored.of(part).under(policy)
    asked = Questions(dataset, part, Sequences(dataset, device), recommender.max_length)
    order, targets, items, scores = [], [], [], []
    for some in in_order(users, dataset.split.input_lengths("valid"), 256):
        batch = asked.batch(some)
        made = scorer.score(batch.inputs, batch.users).float()
        best = top_unseen(made, batch.seen, k=width)  # (B, C)
        order.append(some)
        targets.append(batch.targets[:, 0].cpu().numpy())
        items.append(best.cpu().numpy())
        scores.append(made.gather(1, best).cpu().numpy())
    return _Pools(*(np.concatenate(part) for part in (order, targets, items, scores)))


def _lists(recommender: Recommender, pools: _Pools, config: RerankConfig, part: Part, k: int) -> np.ndarray:
    """(V, k) items shown, 0 where there are fewer."""
    top = np.full((len(pools.users), k), PAD)
    if config.name == "none":
        best = pools.items[:, :k]
        top[:, : best.shape[1]] = best
        return top
    given = recommender.dataset.split.input_lengths(part)
    for row, user in enumerate(pools.users):
        items = pools.items[row, : max(k, config.candidates)]
        items = items[items != PAD]
        history = recommender.dataset.history(int(user))[: given[user]].tolist()
        candidates = recommender.candidates(items, pools.scores[row, : len(items)], history)
        # Users explore differently from each other, and the same way every time.
        order = rerank(config, candidates, k, np.random.default_rng((config.seed, int(user))))
        top[row, : len(order)] = items[order]
    return top


def _measures(
    recommender: Recommender, pools: _Pools, top: np.ndarray, k: int, text: np.ndarray | None
) -> dict[str, float]:
    dataset = recommender.dataset
    hit = top == pools.targets[:, None]  # (V, k)
    gain = (hit / np.log2(np.arange(2, k + 2))).sum(1)
    tail = recommender.tail[pools.targets]
    values = list_values(top, dataset.item_counts, dataset.thresholds, k=k, vectors=text).mean()
    return {
        "users": len(top),
        f"HR@{k}": float(hit.any(1).mean()),
        f"NDCG@{k}": float(gain.mean()),
        f"Tail Item NDCG@{k}": float(gain[tail].mean()) if tail.any() else float("nan"),
        **{f"{name}@{k}": value for name, value in exposure(top, dataset.n_items, k=k).items()},
        **{f"{name}@{k}": float(value) for name, value in values.items()},
    }
