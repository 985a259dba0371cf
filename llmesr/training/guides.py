"""Runs that a sequence model learns from: the linear one it is added to, and the one that it imitates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from llmesr.config import RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.linear.build import MODELS, Source, build
from llmesr.linear.scorer import LinearScorer
from llmesr.methods import Inputs
from llmesr.models.folded import Folded
from llmesr.runs.record import Run, find_run
from llmesr.store import Manifest, Store
from llmesr.training.inputs import reload
from llmesr.training.load import load_scorer
from llmesr.training.text_tables import words_table

FOLDS = 4
"""Parts of the users; what the base says of each while the model is trained comes from the other parts."""
ASKED = 512
"""Users whose highest scores give the unit of a base."""


def guided(
    inputs: Inputs, dataset: Dataset, config: RunConfig, store: Store, device: torch.device | str = "cpu"
) -> tuple[Inputs, list[Manifest]]:
    """``inputs`` with the base and the teacher that ``config`` names, and the manifests of their runs.

    The teacher is the model that has not seen validation, as what it teaches is judged there. UserError for a run of
    another dataset, or a base that is no linear model.
    """
    parents = []
    if config.base is not None:
        run = _of(find_run(store, config.base), dataset)
        base, unit = out_of_fold(run, dataset, config, device)
        inputs, parents = replace(inputs, base=base, base_unit=unit), [run.manifest]
    if teaches(config) and config.teacher is not None:
        run = _of(find_run(store, config.teacher), dataset)
        counts = torch.from_numpy(np.asarray(dataset.item_counts)).to(device)
        inputs = replace(
            inputs, teacher=load_scorer(run, dataset=dataset, part="valid", device=device), item_counts=counts
        )
        parents.append(run.manifest)
    return inputs, parents


def teaches(config: RunConfig) -> bool:
    """Whether a run is imitated."""
    return config.teacher is not None and config.teacher_weight > 0


def out_of_fold(
    run: Run, dataset: Dataset, config: RunConfig, device: torch.device | str = "cpu"
) -> tuple[Folded, float]:
    """What the linear ``run`` would say of each user had it been solved without that user's part, and its unit.

    Weights that have seen a user's own next choices predict them far better than they ever will on new ones: learned
    beside them, s would be too large and the rest would learn nothing.
    """
    if run.config.method not in MODELS:
        raise UserError(f"Run {run.id!r} is {run.label}; base is one of {', '.join(MODELS)}, or a run of one.")
    given = reload(run, dataset)
    views = given.views | words_table(run.config, dataset)
    fold = np.random.default_rng(config.seed).permutation(dataset.n_users) % FOLDS
    scorers = []
    for part in range(FOLDS):
        source = Source(dataset.without(np.flatnonzero(fold == part)), given.text, views, device)
        scorers.append(LinearScorer(build(source, run.config), decay=run.config.decay, device=device))
    found = Folded(scorers, torch.from_numpy(fold).to(device))
    return found, _unit(found, dataset, config, device)


def _unit(base: Folded, dataset: Dataset, config: RunConfig, device: torch.device | str) -> float:
    """The median, over some users, of the highest score after their training histories."""
    users = np.flatnonzero(np.asarray(dataset.split.train_lengths))[:: max(1, dataset.n_users // ASKED)]
    if not len(users):
        return 1.0
    who = torch.from_numpy(users).to(device)
    lengths = torch.from_numpy(np.asarray(dataset.split.train_lengths)[users]).to(device)
    histories, _ = Sequences(dataset, device).padded(who, lengths, config.max_length)
    return max(float(base.score(histories, who).amax(1).median()), 1e-6)


def _of(run: Run, dataset: Dataset) -> Run:
    if run.dataset_id != dataset.id:
        raise UserError(f"Run {run.id!r} is of dataset {run.dataset_id!r}, not of {dataset.id!r}.")
    return run
