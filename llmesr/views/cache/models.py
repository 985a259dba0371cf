"""Runs opened for scoring, ready to recommend: loaded once, shared by all visitors."""

from __future__ import annotations

from llmesr.runs.record import Run
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units
from llmesr.store import Store
from llmesr.views.cache import artifacts
from llmesr.views.cache.kept import digests, kept


@kept(digests(run_id="runs"), entries=8, spinner="Loading the model …")
def recommender(root: Store, run_id: str) -> Recommender:
    """A run ready to recommend, shared by all visitors: it keeps no state between requests but caches."""
    run = Run(root, run_id)
    return Recommender(ScoredRun(root, run, dataset=artifacts.dataset(root, run.dataset_id)))


@kept(digests(run_id="runs"), entries=8)
def units(root: Store, run_id: str) -> Units:
    """The weights at which the terms of a policy spread as far as the run's own scores."""
    return Units(recommender(root, run_id).scored)
