"""What methods are built from, and what they are once built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.encoders.language import TextModel
from llmesr.models.adapted_table import Directions
from llmesr.models.scorers import Scorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.models.text_file import TextRows
from llmesr.objectives.base import Objective
from llmesr.processes import ALONE, Processes

Given = TypeVar("Given")


@dataclass(frozen=True)
class Inputs:
    """What methods are built from; parts a method does not need may be None."""

    n_items: int
    text: Tensor | None = None  # (N + 1, E) frozen item text vectors, row 0 zero
    text_file: TextRows | None = None  # (N, E) the same where they stay in their file
    int8: bool = False  # whether a table that leaves the text as it is keeps it in 8 bits a number
    reduced: Tensor | None = None  # (N, D) PCA of the text, unit mean square per row
    codes: Tensor | None = None  # (N + 1, C) codes of the item texts, row 0 zero
    similar: Tensor | None = None  # (U, K) similar users, -1 where fewer
    reference: Tensor | None = None  # (N + 1, D) item embeddings of an id-only run
    views: dict[str, Tensor] = field(default_factory=dict)  # name -> (N + 1, E') further frozen vectors, zero: none
    chosen: sparse.csr_matrix | None = None  # (U, N + 1) who chose what in training, where starts are spread over it
    base: Scorer | None = None  # linear scores the model's are added to, out of fold: for training only
    base_unit: float = 1.0  # how high the base scores at best, as a rule
    teacher: Scorer | None = None  # a run that is imitated
    item_counts: Tensor | None = None  # (N + 1,) training interactions, where training looks at them
    text_model: Callable[[], TextModel] | None = None  # opens the one that reads histories, anew for each model
    tokens: Tensor | None = None  # (N + 1, W) what it reads of the items where that is not their vectors
    behaviour: SequenceModel | None = None  # an id run that it is told of
    directions: dict[str, Directions] | None = None  # where adapters start, by "text" or view; None: weights follow
    processes: Processes = ALONE  # those the item table is spread over, where it is


@dataclass(frozen=True)
class Method:
    """A model and the terms it is trained with."""

    model: SequenceModel
    objectives: list[Objective]
    base: Scorer | None = None
    """Linear scores that those of the model are added to while it is trained."""


def present(value: Tensor | None, what: str) -> Tensor:
    return torch.as_tensor(given(value, what))


def given(value: Given | None, what: str) -> Given:
    if value is None:
        raise ValueError(f"this method needs {what}")
    return value
