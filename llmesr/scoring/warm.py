"""What lists need of every item, worked out before anybody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import text_space
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import load_tuned_policy

AT_ONCE = 512
"""Items after each of which what is done is told, and kept."""
WINDOW = 32
"""So many times as many are gone through in an order drawn by chance: whoever does the same at the same time has
another order, and finds what the first one did."""


@dataclass(frozen=True)
class Warmed:
    """A text space of a run: of how many ``items`` the nearest texts are kept now, and how many of them are ``new``.
    None of a catalogue so small that all cosines stay in memory."""

    run: str
    whitening: float
    items: int
    new: int


def spaces_of(scored: ScoredRun) -> list[float]:
    """The whitenings of the text spaces in which the lists of a run seek what is nearest: under its own policy, and the
    one that it was tuned to."""
    tuned = load_tuned_policy(scored.run)
    policies: Iterable[ScoringPolicy] = (scored.policy, *(() if tuned is None else (tuned.policy,)))
    return [space for policy in policies if (space := text_space(policy)) is not None]


def warm(scored: ScoredRun, whitening: float, progress: Progress = silent) -> Warmed:
    """Work out the nearest texts of all items, popular ones first. What was worked out before is found, and what is
    worked out when this is stopped stays. Several processes that do this share the work.

    UserError when they cannot be kept.
    """
    term = scored.ground.content(whitening)
    if term.keeps_all:
        return Warmed(scored.run.id, whitening, 0, 0)
    items, new, done = scored.ground.by_popularity, 0, 0
    what = f"nearest texts (whitened {whitening:g})"
    for part in _shuffled(items):
        progress(what, done, len(items))
        new += term.prepare(part)
        done += len(part)
        if not term.shared:
            raise UserError(
                f"The nearest texts of {scored.dataset.name!r} cannot be kept beside its vectors: the folder may only "
                "be read, or the disk is full. Make room, then run this again; what was kept before is found."
            )
    progress(what, len(items), len(items))
    return Warmed(scored.run.id, whitening, len(items), new)


def _shuffled(items: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of ``items``, in an order drawn by chance among those of a window."""
    chance = np.random.default_rng()
    for start in range(0, len(items), WINDOW * AT_ONCE):
        parts = range(start, min(start + WINDOW * AT_ONCE, len(items)), AT_ONCE)
        yield from (items[at : at + AT_ONCE] for at in chance.permutation(parts))
