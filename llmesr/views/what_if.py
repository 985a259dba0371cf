"""Live what-if on recommendations: lists of several runs side by side, and what moved since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from llmesr.data.batches import pad_histories
from llmesr.serving.recommend import Recommender

PARTS = ("collaborative", "semantic", "content")
_PROBES = 64


class Units(NamedTuple):
    """The weights at which a term spreads as far over the catalogue as a run's own scores: medians over users."""

    content: float  # 0 without text vectors
    popularity: float
    cooccurrence: float  # 0 where nothing was ever chosen together


def units(recommender: Recommender) -> Units:
    """The units in which knobs are turned, so that one turn means the same for runs on different scales."""
    dataset, ground = recommender.dataset, recommender.ground
    users = np.flatnonzero(dataset.split.train_lengths)
    users = users[:: max(1, len(users) // _PROBES)][:_PROBES]
    if not len(users):
        return Units(0.0, 0.0, 0.0)
    histories = [dataset.history(int(u))[: dataset.split.train_lengths[u]].tolist() for u in users]
    sequences = pad_histories(histories, recommender.max_length, recommender.device)
    with torch.inference_mode():
        spread = recommender.scorer.score(sequences, None)[:, 1:].float().std(1)  # (B,)
        content = ground.content().score(sequences) if ground.has_text else None
        together = ground.cooccurrence().score(sequences)
    return Units(
        content=0.0 if content is None else _ratio(spread, content),
        popularity=float((spread / ground.log_counts[1:].std().clamp(min=1e-6)).median()),
        cooccurrence=_ratio(spread, together),
    )


def _ratio(spread: torch.Tensor, part: torch.Tensor) -> float:
    """The median over users of their spread (B,) over that of a part (B, N + 1), where it has any."""
    own = part[:, 1:].float().std(1)
    return float((spread[own > 0] / own[own > 0]).median()) if (own > 0).any() else 0.0


def moved(now: Sequence[str], before: Sequence[str] | None) -> list[str]:
    """How each item of a list came to its place: ``▲2``, ``▼1``, ``=``, ``new``; empty without a list before."""
    if before is None:
        return [""] * len(now)
    place = {item: i for i, item in enumerate(before)}
    words = []
    for i, item in enumerate(now):
        if item not in place:
            words.append("new")
        else:
            step = place[item] - i
            words.append("=" if step == 0 else f"▲{step}" if step > 0 else f"▼{-step}")
    return words


def dropped(now: Sequence[str], before: Sequence[str] | None) -> list[str]:
    """Items of the list before that are gone."""
    return [] if before is None else [item for item in before if item not in set(now)]


def changed_line(now: Sequence[str], before: Sequence[str] | None, tail: pd.Series) -> str:
    """How much a list changed, in a few words."""
    count = f"{int(tail.sum())} of {len(now)} in the tail"
    if before is None:
        return count
    words = moved(now, before)
    new, shifted = words.count("new"), sum(w.startswith(("▲", "▼")) for w in words)
    if not new and not shifted:
        return f"{count}; nothing moved"
    return f"{count}; {new} new, {shifted} moved"
