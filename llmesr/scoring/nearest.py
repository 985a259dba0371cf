"""Nearest items in a space of a run, and the users most similar to a user."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from llmesr.data.dataset import Dataset
from llmesr.data.unit_rows import unit_rows
from llmesr.ids import PAD
from llmesr.linear.scorer import LinearScorer
from llmesr.linear.spectral import SpectralScorer
from llmesr.models.scorers import DotScorer, Scorer
from llmesr.retrieval.similar import SimilarUsers
from llmesr.scoring.ground import Unavailable
from llmesr.scoring.recommender import Recommender

Space = Literal["semantic", "collaborative"]
SHOWN = 20
"""Most recent items of a neighbour's history that are shown."""


@lru_cache(maxsize=4)
def _spectral(scorer: LinearScorer) -> SpectralScorer:
    return SpectralScorer(scorer)


def vectors_of(scorer: Scorer) -> Scorer:
    """``scorer``, or for a linear one the vectors of its weights."""
    return _spectral(scorer) if isinstance(scorer, LinearScorer) else scorer


@torch.inference_mode()
def similar_items(
    recommender: Recommender, item: int, k: int = 10, space: Space = "semantic"
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` items nearest to ``item`` by cosine, itself left out: numbers (k,) and cosines (k,).

    ``semantic`` is the original text space, ``collaborative`` the learned item vectors (of a linear run, the main
    directions of its weights). Unavailable when the
    run has no such space.
    """
    if space == "semantic":
        vectors = recommender.ground.content().text
    else:
        scorer = vectors_of(recommender.scorer)
        if not isinstance(scorer, DotScorer) or "collaborative" not in scorer.view_slices:
            raise Unavailable(f"Run {recommender.run.id!r} has no collaborative item vectors; ask for space=semantic.")
        vectors = unit_rows(scorer.item_matrix()[:, scorer.view_slices["collaborative"]])
    cosines = vectors @ vectors[item]  # (N + 1,)
    cosines[[PAD, item]] = -torch.inf
    value, found = cosines.topk(min(k, len(cosines) - 2))
    return found.cpu().numpy(), value.cpu().numpy()


def similar_users(
    recommender: Recommender, user: int, k: int = 10, stored: SimilarUsers | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` users most similar to ``user`` by text, with similarities; fewer where fewer are known.

    From the ``stored`` neighbours when there are enough of them, else computed. Unavailable without text.
    """
    if stored is not None and k <= stored.users.shape[1]:
        real = stored.users[user, :k] >= 0
        return stored.users[user, :k][real], stored.similarity[user, :k][real]
    if recommender.embedding is None:
        raise Unavailable(f"Dataset {recommender.dataset.name!r} has no text vectors; run `llmesr embed` on it.")
    units = unit_rows(recommender.embedding.user_vectors)
    known = np.asarray(units.any(axis=1))
    if not known[user]:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    known[user] = False
    cosines = np.where(known, units @ units[user], -np.inf)
    best = np.argsort(-cosines, kind="stable")[: min(k, int(known.sum()))]
    return best, cosines[best]


def shared_items(dataset: Dataset, user: int, other: int) -> int:
    """How many different training items both users chose."""
    return len(np.intersect1d(dataset.train_history(user), dataset.train_history(other)))
