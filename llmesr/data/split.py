"""Leave-one-out: the last item of a user is the test target, the one before it the validation target."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np

Part = Literal["valid", "test"]
MIN_HISTORY = 3
"""Users with fewer interactions are kept for training only: they have no train/valid/test triple."""


class LeaveOneOut:
    """The split of CSR histories (``offsets`` (U+1,), ``items`` (interactions,))."""

    def __init__(self, offsets: np.ndarray, items: np.ndarray) -> None:
        self.offsets = offsets
        self.items = items
        lengths = np.diff(offsets)
        self._evaluated = lengths >= MIN_HISTORY
        self.train_lengths = np.where(self._evaluated, lengths - 2, lengths)
        """(U,) interactions of each user that training may see."""

    @cached_property
    def users(self) -> np.ndarray:
        """(U_eval,) users with a validation and a test target."""
        return np.flatnonzero(self._evaluated)

    @cached_property
    def train_items(self) -> np.ndarray:
        """All training interactions as item numbers, user after user."""
        position = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return self.items[position < np.repeat(self.train_lengths, np.diff(self.offsets))]

    def input_lengths(self, part: Part) -> np.ndarray:
        """(U,) how much of each history the model may read when asked for the target of ``part``.

        The test input includes the validation item, as in the papers.
        """
        return self.train_lengths + (self._evaluated if part == "test" else 0)

    def targets(self, part: Part) -> np.ndarray:
        """(U_eval,) the target item of each user in :attr:`users`."""
        return self.items[self.offsets[self.users] + self.input_lengths(part)[self.users]]
