"""What lists need of every item, worked out before anybody asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import text_space
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import load_tuned_policy

AT_ONCE = 1024
"""Items after each of which what is done is told, and kept."""


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
    worked out when this is stopped stays.

    UserError when they cannot be kept.
    """
    term = scored.ground.content(whitening)
    if term.keeps_all:
        return Warmed(scored.run.id, whitening, 0, 0)
    items, new = scored.ground.by_popularity, 0
    what = f"nearest texts (whitened {whitening:g})"
    for start in range(0, len(items), AT_ONCE):
        progress(what, start, len(items))
        new += term.prepare(items[start : start + AT_ONCE])
        if not term.shared:
            raise UserError(
                f"The nearest texts of {scored.dataset.name!r} cannot be kept beside its vectors: the folder may only "
                "be read, or the disk is full. Make room, then run this again; what was kept before is found."
            )
    progress(what, len(items), len(items))
    return Warmed(scored.run.id, whitening, len(items), new)
