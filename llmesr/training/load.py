"""From a finished run back to something that scores."""

from __future__ import annotations

import torch

from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.methods import Inputs, build
from llmesr.models.scorers import NeuralScorer, PopularityScorer, Scorer, SemanticKnnScorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.runs.record import MODEL, Run
from llmesr.training.checkpoint import load_tensors


def load_scorer(run: Run, *, dataset: Dataset | None = None, device: torch.device | str = "cpu") -> Scorer:
    """The scorer of a finished run. UserError when the run has no model or an artifact it needs is gone."""
    from llmesr.training.inputs import reload

    dataset = dataset or load_dataset(run.store, run.dataset_id)
    inputs = reload(run, dataset)
    if run.config.method in ("popularity", "semantic-knn"):
        return untrained_scorer(run.config.method, dataset, inputs, device)
    return NeuralScorer(load_model(run, dataset, inputs), device)


def untrained_scorer(method: str, dataset: Dataset, inputs: Inputs, device: torch.device | str) -> Scorer:
    """The two methods that have no parameters."""
    if method == "popularity":
        return PopularityScorer(dataset.item_counts, device)
    if inputs.text is None:
        raise UserError("semantic-knn needs item text vectors; run `llmesr embed` first.")
    return SemanticKnnScorer(inputs.text, device)


def load_model(run: Run, dataset: Dataset, inputs: Inputs) -> SequenceModel:
    """The trained model of a run, on the CPU, in evaluation mode."""
    path = run.folder / MODEL
    if not path.is_file():
        raise UserError(f"Run {run.id!r} has no trained model (state {run.status().state}); train or resume it first.")
    tensors, _ = load_tensors(path)
    # Objectives belong to training: a run is rebuilt without them.
    config = run.config.but(distillation="off", alignment_weight=0.0)
    model = build(inputs, config).model
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"The model of run {run.id!r} does not fit its dataset or embedding: {error}.") from error
    return model.eval()
