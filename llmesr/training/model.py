"""The trained model of a run."""

from __future__ import annotations

from pathlib import Path

from llmesr.data.split import Part
from llmesr.errors import UserError
from llmesr.methods import Inputs, build
from llmesr.models.sequence_model import SequenceModel
from llmesr.runs.record import MODEL, VALIDATED, Run
from llmesr.training.checkpoint import load_tensors


def load_model(run: Run, inputs: Inputs, part: Part = "test") -> SequenceModel:
    """The trained model of a run that ``part`` is asked of, on the CPU, in evaluation mode."""
    tensors, _ = load_tensors(stored_model(run, part))
    # Objectives and what a start is made of belong to training: a run is rebuilt without them.
    config = run.config.but(distillation="off", alignment_weight=0.0, teacher=None, graph_steps=0)
    model = build(inputs, config).model
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"The model of run {run.id!r} does not fit its dataset or embedding: {error}.") from error
    return model.eval()


def stored_model(run: Run, part: Part = "test") -> Path:
    """Where the model of a run is that ``part`` is asked of: one for both, but where the split trains again for the
    test. UserError when there is none."""
    validated = run.folder / VALIDATED
    path = validated if part == "valid" and validated.is_file() else run.folder / MODEL
    if not path.is_file():
        raise UserError(f"Run {run.id!r} has no trained model (state {run.status().state}); train or resume it first.")
    return path
