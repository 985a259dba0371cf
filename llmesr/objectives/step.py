"""What an objective may look at in one training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from llmesr.models.recommender import Recommender


@dataclass(frozen=True)
class Step:
    """One batch after the encoder has read it.

    P is the number of predicted positions, V * D the width of all views together.
    """

    model: Recommender
    users: Tensor  # (B,)
    hidden: Tensor  # (P, V * D) states at the predicted positions
    targets: Tensor  # (P,) the items there
    owners: Tensor  # (P,) user of each predicted position
    user_states: Tensor  # (B, V * D) state at the newest item
    sample: Callable[[Tensor, int], Tensor]  # owners (P,), K -> (P, K) items outside their histories


class Objective(Protocol):
    """A weighted term of the training loss."""

    name: str
    weight: float

    def __call__(self, step: Step) -> Tensor: ...

    def examples(self, step: Step) -> int | Tensor:
        """Of how many examples the term is the mean: what the parts of one batch, each read by a process of its own,
        are weighed by."""
        ...
