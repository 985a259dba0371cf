"""Like for like: what text changes about one and the same model, beside what leads without and with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.verdict import Verdict
from llmesr.prose import listed
from llmesr.store import Store
from llmesr.views.cache import evidence
from llmesr.views.shared import theme

ENDS = {"Tail Item": "in the tail", "Tail User": "with a short history"}


def judged(
    root: Store,
    pairs: Sequence[tuple[Contender, Contender]],
    among: Mapping[str, Sequence[str]],
    name: Callable[[Contender], str],
    thresholds: Thresholds,
    metric: str,
    protocol: str,
) -> list[Verdict]:
    """A verdict on each of ``pairs`` (without text, with it); p is corrected for all that are shown (``among``, by
    the ``name`` that each has there)."""
    lineups: dict[str, dict[str, Sequence[str]]] = {}
    for pair in pairs:  # all that have one plain model are asked about at once
        lineups.setdefault(name(pair[0]), {}).update({name(c): c.ids for c in pair})
    at = thresholds, metric, protocol
    return [v for plain, lineup in lineups.items() for v in evidence.judged(root, lineup, plain, *at, among=among)]


def sentence(verdicts: Sequence[Verdict], summary: pd.DataFrame, group: str, metric: str) -> str:
    """What text changes for ``group``, model by model, whose values (run, group, value) are in ``summary``; what
    stands first against each that is only ahead. Empty where there is no pair."""
    values = summary[summary["group"] == group].set_index("run")["value"].to_dict()
    told: dict[str, list[str]] = {}
    guarded, against = dict[str, None](), dict[str, None]()
    for verdict in verdicts:
        answer = verdict.answer(group)
        if answer is not None:
            word = verdict.word(answer)
            if verdict.doubts and answer.outcome in ("better", "worse"):
                guarded[word], against[verdict.doubts[0].short] = None, None
            told.setdefault(verdict.baseline, []).append(
                f"{verdict.run} {theme.scored(values[verdict.run], metric)} ({word})"
            )
    if not told:
        return ""
    parts = [f"{plain} {theme.scored(values[plain], metric)}, {listed(with_text)}" for plain, with_text in told.items()]
    unsettled = ""
    if against:
        said = listed(list(guarded)).capitalize()
        unsettled = f" {said} {'is' if len(guarded) == 1 else 'are'} not settled: {'; '.join(against)}."
    return f"The same model without text and with it, {ENDS[group]}: {'; '.join(parts)}.{unsettled}"
