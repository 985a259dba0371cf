"""Live what-if on recommendations: lists of several runs side by side, and what moved since."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

PARTS = ("collaborative", "semantic", "content")


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
