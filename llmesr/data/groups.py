"""Who is head and who is tail. Counts come from the training part only, always."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from llmesr.config import COLD

HEAD_SHARE = 0.2
Answer = TypeVar("Answer", covariant=True)


class Counts(Protocol[Answer]):
    """A number, an array, a series or a tensor of counts; what is asked of it is answered in kind."""

    def __lt__(self, other: int, /) -> Answer: ...


class Thresholds(BaseModel):
    """Head means a count of at least the threshold; below it is tail.

    ``item`` is compared with an item's training interactions, ``user`` with a user's training
    history length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    item: int = Field(ge=1)
    user: int = Field(ge=1)

    def tail_items(self, counts: Counts[Answer]) -> Answer:
        """Whether items chosen ``counts`` times in training are in the tail; of the shape of ``counts``."""
        return counts < self.item

    def tail_users(self, lengths: Counts[Answer]) -> Answer:
        """Whether users with ``lengths`` training interactions are tail users; of the shape of ``lengths``."""
        return lengths < self.user

    def cold_items(self, counts: Counts[Answer]) -> Answer:
        """Whether items chosen ``counts`` times in training were never chosen there. They are in the tail too."""
        return counts < 1

    def members(self, target_counts: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Group by name -> (n,) bool of n users: by the training count of what they chose next and by their length.

        Cold items, which are tail items too, are a group where there are any.
        """
        tail_item, tail_user = self.tail_items(np.asarray(target_counts)), self.tail_users(np.asarray(lengths))
        cold = self.cold_items(np.asarray(target_counts))
        found = {
            "Overall": np.ones(len(tail_item), bool),
            "Tail Item": tail_item,
            "Head Item": ~tail_item,
            "Tail User": tail_user,
            "Head User": ~tail_user,
        }
        return found | ({COLD: cold} if cold.any() else {})

    def item_group(self, count: int) -> str:
        """The narrowest group of an item chosen ``count`` times in training."""
        if self.cold_items(count):
            return COLD
        return "Tail Item" if self.tail_items(count) else "Head Item"

    def user_group(self, length: int) -> str:
        """The group of a user with ``length`` training interactions."""
        return "Tail User" if self.tail_users(length) else "Head User"

    def describe(self) -> str:
        """The definition in a sentence, to stand beside every number."""
        return (
            f"Tail item: fewer than {self.item} training interactions. "
            f"Tail user: fewer than {self.user} training interactions."
        )


def share_threshold(counts: np.ndarray, head_share: float = HEAD_SHARE) -> int:
    """The smallest count that leaves at most ``head_share`` of the entries at or above it (80/20).

    Ties are never split, so the head may be smaller than its share; it is never empty: when even
    the largest count is shared by more than that, the largest count is the threshold.
    """
    counts = np.asarray(counts)
    if len(counts) == 0:
        return 1
    values, sizes = np.unique(counts, return_counts=True)
    at_least = np.cumsum(sizes[::-1])[::-1]  # how many entries have at least each value
    fits = values[at_least <= head_share * len(counts)]
    return max(1, int(fits[0] if len(fits) else values[-1]))


def default_thresholds(item_counts: np.ndarray, user_lengths: np.ndarray) -> Thresholds:
    """80/20 for items and for users. ``item_counts`` (N,), ``user_lengths`` (U,)."""
    return Thresholds(item=share_threshold(item_counts), user=share_threshold(user_lengths))


def quantile_buckets(counts: np.ndarray, buckets: int = 5) -> tuple[np.ndarray, list[str]]:
    """Sort entries into at most ``buckets`` groups of similar size by count.

    Returns the bucket (0-based, rising with the count) of every entry and a label per bucket such
    as ``"3-7"``. Equal counts are never separated, so heavily tied data gives fewer buckets.
    """
    counts = np.asarray(counts)
    if len(counts) == 0:
        return np.zeros(0, np.int64), []
    edges = np.unique(np.quantile(counts, np.linspace(0, 1, buckets + 1)[1:-1], method="lower"))
    raw = np.searchsorted(edges, counts, side="left")
    used = np.bincount(raw) > 0
    bucket = (np.cumsum(used) - 1)[raw]
    labels = []
    for b in range(int(used.sum())):
        low, high = counts[bucket == b].min(), counts[bucket == b].max()
        labels.append(f"{low}" if low == high else f"{low}-{high}")
    return bucket, labels
