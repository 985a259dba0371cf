"""What training may read of every history, and what each part asks: the users, their input, their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from llmesr.config.data import SplitConfig, unix_seconds

Part = Literal["valid", "test"]
PARTS: tuple[Part, ...] = ("valid", "test")
_AT_ONCE = 4_000_000
"""Interactions that are looked at together where arrays of their size would otherwise be made."""
MIN_HISTORY = 3
"""Users with fewer interactions are kept for training only: leave-one-out has no train/valid/test triple for them."""


@dataclass(frozen=True, eq=False)
class Window:
    """What one part asks of the user ``u``: read the first ``begin[u]`` items of the history and find those from
    there to ``end[u]``. Nothing is asked of a user whose window is empty or who has nothing to read.

    The negatives of ``uni100`` lie outside the first ``known[u]`` items.
    """

    begin: np.ndarray  # (U,)
    end: np.ndarray  # (U,)
    known: np.ndarray  # (U,)


@dataclass(frozen=True, eq=False)
class Split:
    """The split of CSR histories, oldest first: ``offsets`` (U + 1,), ``items`` (interactions,).

    Every history is cut by its own order, so each part of it is a stretch from somewhere to somewhere.
    """

    offsets: np.ndarray
    items: np.ndarray
    train_lengths: np.ndarray
    """(U,) interactions of each user, the oldest, that training may see."""
    windows: Mapping[Part, Window]

    @cached_property
    def train_items(self) -> np.ndarray:
        """All training interactions as item numbers, user after user."""
        found = np.empty(int(np.sum(self.train_lengths)), self.items.dtype)
        done = 0
        for items in self.train_stretches():
            found[done : done + len(items)] = items
            done += len(items)
        return found

    def train_stretches(self) -> Iterator[np.ndarray]:
        """The same, some users at a time."""
        for users in stretches(self.offsets):
            starts, train = self.offsets[users.start : users.stop + 1], self.train_lengths[users]
            items, lengths = self.items[starts[0] : starts[-1]], np.diff(starts)
            position = np.arange(len(items)) - np.repeat(starts[:-1] - starts[0], lengths)
            yield np.asarray(items[position < np.repeat(train, lengths)])

    @cached_property
    def _users(self) -> dict[Part, np.ndarray]:
        return {part: np.flatnonzero((w.begin > 0) & (w.end > w.begin)) for part, w in self.windows.items()}

    def up_to(self, part: Part) -> Split:
        """The same questions, with everything that lies before those of ``part`` for training."""
        return replace(self, train_lengths=self.input_lengths(part))

    def users(self, part: Part) -> np.ndarray:
        """(U_part,) users who have a past and a target in ``part``, in rising order."""
        return self._users[part]

    def without_past(self, part: Part) -> int:
        """How many users chose something in ``part`` but nothing before: nobody can be asked what comes next."""
        window = self.windows[part]
        return int(((window.begin == 0) & (window.end > 0)).sum())

    def input_lengths(self, part: Part) -> np.ndarray:
        """(U,) how much of each history the model may read when asked for the target of ``part``."""
        return self.windows[part].begin

    def known_lengths(self, part: Part) -> np.ndarray:
        """(U,) how much of each history the negatives of ``uni100`` lie outside of."""
        return self.windows[part].known

    def targets(self, part: Part) -> np.ndarray:
        """(U_part,) the first target of each of :meth:`users`."""
        users = self.users(part)
        return np.asarray(self.items[self.offsets[users] + self.input_lengths(part)[users]])

    def pairs(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """(R,) users and (R,) their targets: user after user in rising order, of each the oldest target first.

        R is U_part where there is one target each; an item that a user chooses again counts once.
        """
        users, window = self.users(part), self.windows[part]
        many = (window.end - window.begin)[users]
        who = np.repeat(users, many)
        step = np.arange(len(who)) - np.repeat(np.cumsum(many) - many, many)
        items = self.items[self.offsets[who] + window.begin[who] + step]
        if not len(many) or many.max() == 1:
            return who, items
        _, first = np.unique(who * (int(self.items.max()) + 1) + items, return_index=True)
        first.sort()
        return who[first], items[first]


def leave_one_out(offsets: np.ndarray, items: np.ndarray) -> Split:
    """The last item of a user is the test target, the one before it the validation target.

    The test input includes the validation item, as in the papers.
    """
    lengths = np.diff(offsets)
    evaluated = lengths >= MIN_HISTORY
    train = np.where(evaluated, lengths - 2, lengths)
    windows: dict[Part, Window] = {
        "valid": Window(train, train + evaluated, lengths),
        "test": Window(train + evaluated, lengths, lengths),
    }
    return Split(offsets, items, train, windows)


def temporal(offsets: np.ndarray, items: np.ndarray, timestamps: np.ndarray, config: SplitConfig) -> Split:
    """Train before ``config.valid_from``, validate from there to ``config.test_from``, test from there on (both dates).

    The input of a user is everything before a cut; the targets are the first interaction from the cut on, or all of
    them (Ji et al. 2023, "A critical study on data leakage in recommender system offline evaluation").
    """
    lengths = np.diff(offsets)
    before_valid, before_test = (_before(offsets, timestamps, cut) for cut in boundaries(config))
    several = config.targets == "all"
    asked: dict[Part, tuple[np.ndarray, np.ndarray]] = {
        "valid": (before_valid, before_test),
        "test": (before_test, lengths),
    }
    windows = {
        p: Window(begin, end if several else np.minimum(end, begin + 1), end) for p, (begin, end) in asked.items()
    }
    return Split(offsets, items, before_valid, windows)


def stretches(offsets: np.ndarray) -> Iterator[slice]:
    """Users, some at a time: each slice has about four million interactions, or one user with more."""
    start, users = 0, len(offsets) - 1
    while start < users:
        end = int(np.searchsorted(offsets, offsets[start] + _AT_ONCE, side="right")) - 1
        end = min(max(end, start + 1), users)
        yield slice(start, end)
        start = end


def _before(offsets: np.ndarray, timestamps: np.ndarray, cut: int) -> np.ndarray:
    """(U,) how many interactions of each user lie before ``cut``."""
    found = np.zeros(len(offsets) - 1, np.int64)
    for users in stretches(offsets):
        starts = offsets[users.start : users.stop + 1]
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        found[users] = np.bincount(owner[timestamps[starts[0] : starts[-1]] < cut], minlength=len(starts) - 1)
    return found


def boundaries(config: SplitConfig) -> tuple[int, int]:
    """The two cuts of a temporal split whose cuts are dates, in seconds since 1970."""
    return unix_seconds(str(config.valid_from)), unix_seconds(str(config.test_from))
