"""Stand-ins for a trained model: random vectors with the shape and contract of the real thing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.ids import PAD
from llmesr.runs.record import Run
from llmesr.scoring.weights import PopularityWeights
from llmesr.store import Store

WEIGHTS = PopularityWeights(
    counts=(1, 6),
    collaborative=(0.2, 1.1),
    semantic=(1.5, 0.3),
    content=(2.0, 0.5),
    linear=(0.1, 0.9),
    bias=(0.3, -0.8),
)
"""Every part counts otherwise for rare items than for popular ones."""


class FakeScorer:
    """Represents a user by the mean of the history's item vectors; two views of ``size`` columns each."""

    def __init__(
        self, n_items: int, size: int = 4, views: tuple[str, ...] = ("collaborative", "semantic"), seed: int = 0
    ) -> None:
        self.n_items = n_items
        self.max_length = 10
        self.view_slices = {name: slice(i * size, (i + 1) * size) for i, name in enumerate(views)}
        self.items = torch.randn(n_items + 1, size * len(views), generator=torch.Generator().manual_seed(seed))
        self.items[PAD] = 0

    def item_matrix(self) -> Tensor:
        return self.items

    def represent(self, sequences: Tensor) -> Tensor:
        return self.items[sequences].sum(1) / (sequences != PAD).sum(1, keepdim=True).clamp(min=1)

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.represent(sequences) @ self.items.T


class Counts:
    """Scores by popularity: no dot product, no views."""

    def __init__(self, counts: Tensor) -> None:
        self.n_items = len(counts) - 1
        self.counts = counts.float()

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        return self.counts.expand(len(sequences), -1)


def text_vectors(n_items: int, size: int = 6, seed: int = 5) -> Tensor:
    """(N + 1, E) with a zero padding row; the last item has no text."""
    text = torch.randn(n_items + 1, size, generator=torch.Generator().manual_seed(seed))
    text[PAD] = 0
    text[-1] = 0
    return text


def bare_run(store: Store, dataset: Dataset, method: str = "llm-esr", **settings: Any) -> Run:
    """A run without a model, for code that is handed its scorer."""
    config = RunConfig(method=method, max_length=10, **settings)
    return Run.create(store, config, [dataset.manifest], name=f"{dataset.name} {method}", device="cpu")
