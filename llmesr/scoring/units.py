"""Units for weights: how far scores spread over the catalogue, so that one weight means the same for every run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import pad_histories
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.terms import TERMS, Key, Variant, open_terms

PROBES = 64
"""Users whose scores are looked at."""


class Units:
    """The weights at which a term spreads as far over the catalogue as a run's own scores: medians over some users.

    Each is worked out when it is first asked for, since a knob that stays at zero needs none.
    """

    def __init__(self, scored: ScoredRun) -> None:
        self._scored = scored
        self._found: dict[Key, float] = {}
        dataset = scored.dataset
        users = np.flatnonzero(dataset.split.train_lengths)
        users = users[:: max(1, len(users) // PROBES)][:PROBES]
        histories = [dataset.train_history(int(u)).tolist() for u in users]
        self._sequences = pad_histories(histories, scored.max_length, scored.device)
        self._users = torch.from_numpy(users).to(scored.device)
        self._own = torch.zeros(0)  # (B,)
        if len(users):
            with torch.inference_mode():
                self._own = spread(scored.scorer.score(self._sequences, self._users))

    def of(self, name: str, variant: Variant = None) -> float:
        """The unit of a term by name; 0 where it says nothing to anyone, or needs text and there is none."""
        key = name, variant
        if key not in self._found:
            lacking = TERMS[name].reads_text(variant) and not self._scored.ground.has_text
            self._found[key] = 0.0 if lacking else self._unit(key)
        return self._found[key]

    def _unit(self, key: Key) -> float:
        opened = open_terms(self._scored.scorer, self._scored.ground, [key])
        with torch.inference_mode():
            return median([matching(self._own, term.score(self._sequences, self._users)) for term in opened.values()])


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
