"""Units for weights: how far scores spread over the catalogue, so that one weight means the same for every run."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.scoring.recommender import Recommender

PROBES = 64
"""Users whose scores are looked at."""


class Units:
    """The weights at which a term spreads as far over the catalogue as a run's own scores: medians over some users.

    Each is worked out when it is first asked for, since a knob that stays at zero needs none.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._ground = recommender.ground
        dataset = recommender.dataset
        users = np.flatnonzero(dataset.split.train_lengths)
        users = users[:: max(1, len(users) // PROBES)][:PROBES]
        histories = [dataset.train_history(int(u)).tolist() for u in users]
        self._sequences = pad_histories(histories, recommender.max_length, recommender.device)
        self._own = torch.zeros(0)  # (B,)
        if len(users):
            with torch.inference_mode():
                self._own = spread(recommender.scorer.score(self._sequences, None))

    @cached_property
    def content(self) -> float:
        """0 without text vectors."""
        if not self._ground.has_text:
            return 0.0
        return median([matching(self._own, self._ground.content().score(self._sequences))])

    @cached_property
    def cooccurrence(self) -> float:
        """0 where nothing was ever chosen together."""
        return median([matching(self._own, self._ground.cooccurrence().score(self._sequences))])

    @cached_property
    def popularity(self) -> float:
        return median([self._own / self._ground.log_counts[1:].std().clamp(min=1e-6)])


def spread(scores: Tensor) -> Tensor:
    """(B,) standard deviations over the catalogue of scores (B, N + 1)."""
    return scores[:, 1:].float().std(1)


def matching(own: Tensor, part: Tensor) -> Tensor:
    """For each user the weight at which ``part`` (B, N + 1) spreads as far as their scores do, ``own`` (B,).

    Users for whom the part says nothing (a history without text, or chosen with nothing else) are left out.
    """
    parts = spread(part)
    said = parts > 0
    return own[said] / parts[said]


def median(weights: list[Tensor]) -> float:
    """The median over users; 0 where a part says nothing to anyone, so that it is not added."""
    joined = torch.cat(weights) if weights else torch.zeros(0)
    return float(joined.median()) if len(joined) else 0.0


def short(value: float) -> float:
    """Three digits, as people read and type weights."""
    return float(f"{value:.3g}")
