"""Training again once validation has chosen: on training and validation together, for the epochs that were best."""

from __future__ import annotations

from dataclasses import replace

import torch

from llmesr.config import RunConfig
from llmesr.config.needs import needs_behaviour, needs_reference
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.methods import Inputs, build
from llmesr.models.scorers import Scorer, ShardedScorer
from llmesr.runs.record import MODEL, Run, find_run
from llmesr.training.inputs import reference_items, told
from llmesr.training.load import base_scorer
from llmesr.training.loop import Loop
from llmesr.training.runtime import Runtime, never, unasked
from llmesr.training.shards import WHOLE, save_model, scorer_for
from llmesr.training.stopping import terminate

REFIT = "refit.safetensors"


def refit(
    run: Run, dataset: Dataset, inputs: Inputs, epochs: int, sequences: Sequences, runtime: Runtime
) -> Scorer | ShardedScorer:
    """The model of ``run`` trained anew on what ``dataset`` has before the test, ``epochs`` long, stored as its model.

    Similar users, and what a linear base says while training, stay those of the training part: they are an input, made
    before training began. Stopped, the run goes on here; where training was told that it is enough, this still is done.
    """
    config, whole = run.config.but(epochs=epochs), dataset.training_for("test")
    torch.manual_seed(config.seed)
    method = build(replace(_aligned(inputs, config, run, dataset), processes=runtime.processes), config)
    with terminate() as should_stop:
        loop = Loop(
            method=method,
            dataset=whole,
            sequences=sequences,
            config=config,
            run=run,
            validate=None,
            runtime=replace(runtime, should_stop=should_stop, enough=unasked, give_up=never),
            checkpoint=REFIT,
        )
        loop.resume()
        loop.fit()
    runtime.processes.sync_parameters(method.model, own=method.model.sharded)
    save_model(run.folder / MODEL, run.checkpoint(WHOLE), method.model, runtime.processes)
    base = None
    if config.base is not None:
        base = base_scorer(find_run(run.store, config.base), dataset, "test", runtime.device)
    return scorer_for(method.model, base, runtime.device)


def _aligned(inputs: Inputs, config: RunConfig, run: Run, dataset: Dataset) -> Inputs:
    """With the id-only run as it was trained for the test, where a method aligns its items to one or reads it."""
    if needs_behaviour(config):
        return replace(
            inputs, behaviour=told(find_run(run.store, str(config.collaborative_run)), dataset, config, "test")
        )
    if not needs_reference(config) or config.alignment_run is None:
        return inputs
    return replace(inputs, reference=reference_items(find_run(run.store, config.alignment_run), dataset, "test"))
