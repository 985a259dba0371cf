"""The trained model of a run."""

from __future__ import annotations

from pathlib import Path

from llmesr.errors import UserError
from llmesr.methods import Inputs, build
from llmesr.models.sequence_model import SequenceModel
from llmesr.runs.record import MODEL, Run
from llmesr.training.checkpoint import load_tensors


def load_model(run: Run, inputs: Inputs) -> SequenceModel:
    """The trained model of a run, on the CPU, in evaluation mode."""
    tensors, _ = load_tensors(stored_model(run))
    # Objectives belong to training: a run is rebuilt without them.
    config = run.config.but(distillation="off", alignment_weight=0.0, teacher=None)
    model = build(inputs, config).model
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"The model of run {run.id!r} does not fit its dataset or embedding: {error}.") from error
    return model.eval()


def stored_model(run: Run) -> Path:
    """Where the model of a run is. UserError when there is none."""
    path = run.folder / MODEL
    if not path.is_file():
        raise UserError(f"Run {run.id!r} has no trained model (state {run.status().state}); train or resume it first.")
    return path
