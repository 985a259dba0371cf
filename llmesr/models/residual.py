"""Scores on top of other scores: logits = s * base + own, s learned.

The base is a linear model that is solved beforehand; the sequence model then learns what a linear one cannot know.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from llmesr.models.blend import BlendScorer
from llmesr.models.scorers import NeuralScorer, Scorer, WritingScorer
from llmesr.models.sequence_model import SequenceModel

FIRST = 8.0
"""s at first, in units of the base: what it scores highest begins e^8 times as likely as what it leaves at zero."""


class BaseWeight(nn.Module):
    """s > 0 of ``s * base``. ``unit``: how high the base scores at best, as a rule."""

    unit: Tensor

    def __init__(self, unit: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("unit", torch.tensor(unit))
        self.log = nn.Parameter(torch.tensor(math.log(FIRST)))

    def forward(self) -> Tensor:
        """s, a scalar, in the units of the base's scores."""
        return self.log.exp() / self.unit


def scorer_of(model: SequenceModel, base: Scorer | None, device: torch.device | str = "cpu") -> Scorer:
    """What scores with ``model``: alone, or on top of ``base`` where it was trained so. Both are parts of the sum."""
    if model.decoder is not None:
        return WritingScorer(model, model.decoder, device)
    own = NeuralScorer(model, device)
    if base is None or model.base is None:
        return own
    with torch.no_grad():
        weight = float(model.base())
    size = model.n_items + 1
    weights = torch.tensor([weight, 1.0], device=device)[:, None].expand(2, size).contiguous()
    return BlendScorer([base, own], weights, torch.zeros(size, device=device))
