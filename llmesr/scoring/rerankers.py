"""Re-ranking the best candidates of one list: for diversity, for fairness to the tail, to explore.

Every re-ranker takes the candidates best first and one ``strength`` in [0, 1], where 0 leaves the
order as it is, and returns the positions of the k chosen candidates, best first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from llmesr.config import Config
from llmesr.data.unit_rows import unit_rows

RerankerName = Literal["none", "mmr", "dpp", "calibrated", "epsilon", "ucb"]
CLASSES = 3
"""Popularity classes of calibration: head, middle, tail."""


class RerankConfig(Config):
    """Which re-ranker, and how strongly."""

    name: RerankerName = Field(
        "none",
        description="mmr and dpp: less similar items; calibrated: the user's own mix of popularity; "
        "epsilon and ucb: slots for exploration.",
    )
    strength: float = Field(0.3, ge=0, le=1, description="0 keeps the order of the scores, 1 forgets the scores.")
    candidates: int = Field(100, ge=1, le=1000, description="Best candidates that are re-ranked.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the random slots of epsilon.")

    @property
    def compares(self) -> bool:
        """Whether items are compared with each other, for which they need vectors."""
        return self.name in ("mmr", "dpp") and self.strength > 0


@dataclass(frozen=True)
class Candidates:
    """The C best candidates of one user, best first."""

    scores: np.ndarray  # (C,) descending
    vectors: np.ndarray  # (C, E) in which similarity is the cosine
    popularity: np.ndarray  # (C,) training interactions
    classes: np.ndarray  # (C,) popularity class, 0 head .. CLASSES - 1 tail
    history: np.ndarray  # (CLASSES,) counts of the user's history in each class

    @property
    def relevance(self) -> np.ndarray:
        """Scores scaled to [0, 1]; all 0 when they are equal."""
        low, high = float(self.scores.min()), float(self.scores.max())
        return (self.scores - low) / (high - low) if high > low else np.zeros(len(self.scores))

    @property
    def cosines(self) -> np.ndarray:
        """(C, C) similarity of the candidates; an item without a vector is similar to none."""
        unit = unit_rows(self.vectors)
        return np.asarray(unit @ unit.T)


def popularity_classes(item_counts: np.ndarray) -> np.ndarray:
    """(N + 1,) class of each item: 0 holds the most popular fifth of all interactions, 2 the least popular
    fifth, 1 the rest (Abdollahpouri et al. 2021, "User-centered evaluation of popularity bias")."""
    order = np.argsort(-item_counts[1:], kind="stable") + 1
    share = np.cumsum(item_counts[order]) / max(item_counts[1:].sum(), 1)
    before = share - item_counts[order] / max(item_counts[1:].sum(), 1)
    classes = np.full(len(item_counts), CLASSES - 1)
    classes[order[before < 0.8]] = 1
    classes[order[before < 0.2]] = 0
    return classes


def rerank(config: RerankConfig, candidates: Candidates, k: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Positions of the k chosen candidates, best first (fewer when there are fewer candidates).

    ``rng`` overrides the seed of the configuration.
    """
    k = min(k, len(candidates.scores))
    if config.name == "none" or config.strength == 0 or k == 0:
        return np.arange(k)
    rng = np.random.default_rng(config.seed) if rng is None else rng
    return RERANKERS[config.name](candidates, k, config.strength, rng)


def mmr(candidates: Candidates, k: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): relevance minus the greatest similarity
    to what was chosen already."""
    relevance, cosines = candidates.relevance, candidates.cosines
    closest = np.zeros(len(relevance))  # nothing chosen yet
    chosen: list[int] = []
    for _ in range(k):
        value = (1 - strength) * relevance - strength * closest
        value[chosen] = -np.inf
        best = int(value.argmax())
        closest = np.maximum(closest, cosines[best]) if chosen else cosines[best].copy()
        chosen.append(best)
    return np.array(chosen)


def dpp(candidates: Candidates, k: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Greedy MAP of a determinantal point process (Chen, Zhang and Zhou 2018, algorithm 1).

    The kernel is diag(q) S diag(q) with S = (1 + cos) / 2 and q = exp(a * relevance), where
    a = (1 - strength) / (2 * strength): each step takes the candidate that adds most to the log determinant.
    """
    relevance = candidates.relevance
    similarity = (1 + candidates.cosines) / 2
    np.fill_diagonal(similarity, 1.0)  # also for items without a vector
    quality = (1 - strength) / max(strength, 1e-6) * relevance  # log q^2
    left = np.ones(len(relevance))  # what of each vector the chosen ones do not span
    basis = np.zeros((k, len(relevance)))
    chosen: list[int] = []
    for step in range(k):
        gain = quality + np.log(np.maximum(left, 1e-10))
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        direction = (similarity[best] - basis[:step].T @ basis[:step, best]) / math.sqrt(max(left[best], 1e-10))
        basis[step] = direction
        left = left - direction**2
        chosen.append(best)
    return np.array(chosen)


def calibrated(candidates: Candidates, k: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Popularity calibration (Steck 2018; Abdollahpouri et al. 2021): relevance minus the Jensen-Shannon
    divergence between the list's and the history's shares of head, middle and tail items."""
    if candidates.history.sum() == 0:
        return np.arange(k)
    wanted = candidates.history / candidates.history.sum()
    relevance = candidates.relevance
    counts = np.zeros(CLASSES)
    total = 0.0
    chosen: list[int] = []
    for step in range(1, k + 1):
        after = counts + np.eye(CLASSES)  # row c: the list if the next item were of class c
        distance = np.array([_divergence(wanted, row / step) for row in after])
        value = (1 - strength) * (total + relevance) / step - strength * distance[candidates.classes]
        value[chosen] = -np.inf
        best = int(value.argmax())
        counts[candidates.classes[best]] += 1
        total += relevance[best]
        chosen.append(best)
    return np.array(chosen)


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits, in [0, 1]."""
    middle = (p + q) / 2
    return float(sum((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum() for x in (p, q)) / 2)


def epsilon(candidates: Candidates, k: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Epsilon-greedy: each slot goes, with probability ``strength``, to a random candidate not yet chosen."""
    waiting = list(range(len(candidates.scores)))
    explore = rng.random(k) < strength
    return np.array([waiting.pop(int(rng.integers(len(waiting))) if random else 0) for random in explore])


def ucb(candidates: Candidates, k: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Upper confidence slots: the last ``ceil(strength * k)`` slots go to the candidates with the greatest
    relevance + uncertainty, where uncertainty is sqrt(log(1 + total) / (1 + interactions)), scaled to [0, 1]."""
    kept = k - math.ceil(strength * k)
    uncertainty = np.sqrt(np.log1p(candidates.popularity.sum()) / (1.0 + candidates.popularity))
    value = candidates.relevance + uncertainty / max(float(uncertainty.max()), 1e-12)
    value[:kept] = np.inf  # the head of the list stays
    return np.argsort(-value, kind="stable")[:k]


RERANKERS: dict[str, Callable[[Candidates, int, float, np.random.Generator], np.ndarray]] = {
    "mmr": mmr,
    "dpp": dpp,
    "calibrated": calibrated,
    "epsilon": epsilon,
    "ucb": ucb,
}
"""Every re-ranker by name."""
