"""What the terms of a score need to know of a dataset: popularity, who is a tail user, the text, who chose what."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.ids import PAD
from llmesr.scoring.content import ContentTerm, whitened
from llmesr.scoring.cooccurrence import CooccurrenceTerm

CONTENT_BUDGET = 2**31
"""Bytes that the text spaces kept ready may take together, each with its rows of cosines."""
FEWEST_SPACES = 2
"""Text spaces kept at the least: the text as it is, and the one of the policy in use."""


class Unavailable(UserError):
    """What was asked for needs something this run was made without."""


class Ground:
    """A dataset as scores see it. May be shared by threads."""

    def __init__(
        self,
        *,
        item_counts: Tensor,
        train_lengths: Tensor,
        thresholds: Thresholds,
        text: np.ndarray | Tensor | None = None,
        cooccurrence: Callable[[], CooccurrenceTerm] | None = None,
        device: torch.device | str = "cpu",
        budget: int = CONTENT_BUDGET,
    ) -> None:
        """``item_counts`` (N + 1,) and ``train_lengths`` (U,) are training interactions; ``text`` (N + 1, E).

        ``cooccurrence`` makes that term when it is first asked for; ``budget``: see :data:`CONTENT_BUDGET`.
        """
        self.item_counts = item_counts.to(device)
        self.log_counts = torch.log1p(self.item_counts.float())  # (N + 1,)
        self.train_lengths = train_lengths.to(device)
        self.thresholds = thresholds
        self.has_text = text is not None
        self._text = text
        self._device = device
        self.budget = budget
        self._spaces: OrderedDict[float, ContentTerm] = OrderedDict()  # by whitening, most recently used last
        self._lock = threading.Lock()
        self._make_cooccurrence = cooccurrence
        self._cooccurrence: CooccurrenceTerm | None = None

    @classmethod
    def of(cls, dataset: Dataset, text: np.ndarray | None, device: torch.device | str = "cpu") -> Self:
        """From a dataset and its padded (N + 1, E) item vectors, if there are any."""
        if text is not None and len(text) != dataset.n_items + 1:
            raise UserError(
                f"The text vectors have {len(text) - 1} items and dataset {dataset.name!r} has {dataset.n_items}. "
                f"Embed this dataset: `llmesr embed {dataset.name}`."
            )
        return cls(
            item_counts=torch.from_numpy(np.asarray(dataset.item_counts)),
            train_lengths=torch.from_numpy(np.asarray(dataset.split.train_lengths)),
            thresholds=dataset.thresholds,
            text=text,
            cooccurrence=lambda: CooccurrenceTerm.from_dataset(dataset, device),
            device=device,
        )

    def cooccurrence(self) -> CooccurrenceTerm:
        """The co-occurrence term. Unavailable when the ground was made without interactions."""
        if self._cooccurrence is None:
            if self._make_cooccurrence is None:
                raise Unavailable("The co-occurrence term needs the training interactions of the dataset.")
            self._cooccurrence = self._make_cooccurrence()
        return self._cooccurrence

    def content(self, whitening: float = 0.0) -> ContentTerm:
        """The content term in the text space evened out by ``whitening``. Unavailable without text.

        The spaces used last are kept, as many as the budget holds; do not keep one yourself.
        """
        if self._text is None:
            raise Unavailable("This needs text vectors of the dataset: run `llmesr embed` on it first.")
        with self._lock:
            if whitening not in self._spaces:
                self._spaces[whitening] = ContentTerm(whitened(self._text, whitening), self._device)
            self._spaces.move_to_end(whitening)
            while len(self._spaces) > FEWEST_SPACES and self.content_bytes > self.budget:
                self._spaces.popitem(last=False)
            return self._spaces[whitening]

    @property
    def content_bytes(self) -> int:
        """What the text spaces kept ready take at the most."""
        return sum(term.nbytes for term in self._spaces.values())

    def tail_users(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        """(B,) bool. Known users by their training history; unknown ones (-1, or no ``users`` at all) by the
        history they come with."""
        by_history = self.thresholds.tail_users((sequences != PAD).sum(1))
        if users is None:
            return by_history
        return torch.where(users < 0, by_history, self.thresholds.tail_users(self.train_lengths[users]))
