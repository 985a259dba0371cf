"""What an objective is, and what it may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from llmesr.data.row_file import RowFile
from llmesr.models.sequence_model import SequenceModel

States = Tensor | RowFile
"""(U + 1, V * D) the states of all users, and in a last row of zeros nobody's: in memory, or in a file."""


@dataclass(frozen=True)
class EncodedBatch:
    """One batch after the encoder has read it.

    P is the number of predicted positions, V * D the width of all views together.
    """

    model: SequenceModel
    users: Tensor  # (B,)
    hidden: Tensor  # (P, V * D) states at the predicted positions
    targets: Tensor  # (P,) the items there
    owners: Tensor  # (P,) user of each predicted position
    user_states: Tensor  # (B, V * D) state at the newest item
    sample: Callable[[Tensor, int], Tensor]  # owners (P,), K -> (P, K) items outside their histories
    prefixes: Callable[[slice], Tensor] | None = None  # some of P -> (p, L) what stands before them, padded right
    base: Callable[[slice], Tensor] | None = None  # some of P -> (p, N + 1) scores the model's are added to
    drawn: Mapping[str, Tensor] = field(default_factory=dict)  # what objectives have drawn already, by their names


class Objective(nn.Module, ABC):
    """A weighted term of the training loss.

    Tensors it reads are buffers (``register_buffer(..., persistent=False)``), so that ``to(device)`` moves them.
    """

    name: str
    weight: float

    @abstractmethod
    def forward(self, batch: EncodedBatch) -> Tensor:
        """The term of this batch, a scalar, not yet weighted."""

    @abstractmethod
    def examples(self, batch: EncodedBatch) -> int | Tensor:
        """Of how many examples the term is the mean: what the parts of one batch, each read by a process of its own,
        are weighed by."""

    def draw(self, owners: Tensor, n_items: int, sample: Callable[[Tensor, int], Tensor]) -> Tensor | None:
        """Items beyond those of the batch whose vectors :meth:`forward` will read; ``owners`` and ``sample`` as in
        :class:`EncodedBatch`. Asked beforehand where vectors must be brought from elsewhere, and then
        ``EncodedBatch.drawn`` holds them. Most objectives draw nothing."""

    def refresh(self, step: int, represent_all: Callable[[], States]) -> None:
        """Called before each step of an epoch (from 0); ``represent_all()`` gives the states of all users as they are
        now. Most objectives have nothing to renew."""

    def state(self) -> dict[str, States]:
        """What a checkpoint within an epoch must hold, under keys that begin with ``name``."""
        return {}

    def load(self, state: Mapping[str, States]) -> None:
        """Take back what :meth:`state` gave; ``state`` may hold what is of other objectives too."""
