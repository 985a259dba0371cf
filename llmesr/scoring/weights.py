"""Weights of the terms of a score that follow an item's popularity."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails
from torch import Tensor

from llmesr.config import Config
from llmesr.scoring.terms import TERMS

Weight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Curve = Annotated[tuple[Weight, ...], Field(max_length=32)]

FORMERLY = {"cooccurrence": "linear"}
"""What terms were called in policies that are stored: cosines were once all that the linear term had."""


class ByTerm(Config):
    """Settings of which some belong to terms. Those of the table's own terms are fields; a term that was added to the
    table brings its setting along without one."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})

    @classmethod
    @abstractmethod
    def of_terms(cls) -> set[str]:
        """The settings that terms bring along."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = {FORMERLY.get(name, name): value for name, value in values.items()}
        for key in set(values) - set(cls.model_fields) - cls.of_terms() if isinstance(values, dict) else ():
            error = InitErrorDetails(type="extra_forbidden", loc=(key,), input=values[key])
            raise ValidationError.from_exception_data(cls.__name__, [error])
        return values


class PopularityWeights(ByTerm):
    """The weight of every term of a score as a function of an item's training interactions n.

    Straight lines over log(1 + n) between the ``counts``, level outside; found by ``scoring.tuning.fit``. A term
    without a curve (``()``) counts the same for all items.
    """

    __pydantic_extra__: dict[str, Curve]

    counts: Annotated[tuple[Annotated[int, Field(ge=0, le=10**9)], ...], Field(min_length=1, max_length=32)] = Field(
        description="Training interactions at which the weights are given, increasing."
    )
    collaborative: Curve = Field((), description="Weight of the collaborative part at each count.")
    semantic: Curve = Field((), description="Weight of the semantic part.")
    content: Curve = Field((), description="Multiplies gamma.")
    linear: Curve = Field((), description="Multiplies the weight of the linear term.")
    bias: Curve = Field((), description="Added to the score.")
    tail_emphasis: float = Field(
        0.0, ge=0, le=1e6, description="How much more a user whose target is a tail item counted in the fit: 1 + this."
    )

    @classmethod
    def of_terms(cls) -> set[str]:
        return {term.name for term in TERMS.values() if term.curved}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(a >= b for a, b in pairwise(self.counts)):
            raise ValueError("counts must increase")
        if any(len(curve) != len(self.counts) for curve in self.curves.values()):
            raise ValueError("every curve needs one value per count")
        return self

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """The curves there are, by term, in the order of the table."""
        found = {name: getattr(self, name, ()) for name, term in TERMS.items() if term.curved}
        return {name: curve for name, curve in found.items() if curve}

    def at(self, name: str, log_counts: Tensor) -> Tensor | None:
        """The curve of term ``name`` at items with these log(1 + n), (N + 1,) -> (N + 1,); None without a curve."""
        curve = self.curves.get(name)
        if curve is None:
            return None
        return (hats(self.counts, log_counts) @ torch.tensor(curve, device=log_counts.device)).float()


def hats(counts: tuple[int, ...], log_counts: Tensor) -> Tensor:
    """(N + 1,) -> (N + 1, K): the share of each of K knots in a straight line between them."""
    knots = np.log1p(np.asarray(counts, float))
    places = log_counts.cpu().numpy()
    shares = [np.interp(places, knots, row) for row in np.eye(len(knots))]
    return torch.from_numpy(np.stack(shares, axis=1).astype(np.float32)).to(log_counts.device)
