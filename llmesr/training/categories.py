"""Latent categories of items: groups of a recommender's item vectors (P2Rec, 2406.00333)."""

from __future__ import annotations

import numpy as np

from llmesr.config import FinetuneConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.linear.build import Source, build
from llmesr.linear.scorer import LinearScorer
from llmesr.linear.spectral import spectral
from llmesr.models.scorers import DotScorer
from llmesr.runs.record import find_run
from llmesr.semantic.preferences import NONE
from llmesr.store import Store
from llmesr.training.load import load_scorer


def categories(dataset: Dataset, config: FinetuneConfig, store: Store) -> np.ndarray:
    """(N,) the group of each item, 0..K-1 with K at most ``config.categories``; :data:`NONE` where training has nobody
    who chose it, since then a recommender's vector says nothing.

    K-means of unit vectors. UserError for a run of another dataset, or one without item vectors.
    """
    from sklearn.cluster import KMeans

    found, chosen = np.full(dataset.n_items, NONE), np.asarray(dataset.item_counts)[1:] > 0
    if not chosen.any():
        return found
    vectors = unit_rows(_vectors(dataset, config, store))
    known = np.flatnonzero(chosen & vectors.any(axis=1))
    if len(known):
        different = len(np.unique(vectors[known], axis=0))
        groups = KMeans(min(config.categories, different), n_init=3, random_state=config.seed).fit(vectors[known])
        found[known] = groups.labels_
    return found


def _vectors(dataset: Dataset, config: FinetuneConfig, store: Store) -> np.ndarray:
    """(N, D) items as the run has them that has not seen validation; those of EASE, which the training part alone
    gives, where none is named."""
    if config.categories_of is None:
        return spectral(build(Source(dataset), RunConfig(method="ease")))[1][1:].numpy()
    run = find_run(store, config.categories_of)
    if run.dataset_id != dataset.id:
        raise UserError(f"Run {run.id!r} is of dataset {run.dataset_id!r}, not of {dataset.id!r}.")
    scorer = load_scorer(run, dataset=dataset, part="valid")
    if isinstance(scorer, LinearScorer):
        return spectral(scorer.weights)[1][1:].numpy()
    if not isinstance(scorer, DotScorer):
        raise UserError(f"Run {run.id!r} ({run.label}) has no item vectors to group; name another.")
    return scorer.item_matrix()[1:].detach().cpu().float().numpy()
