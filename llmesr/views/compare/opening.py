"""The first slide of a comparison: whom the recommender fails and what text changes, to be read in ten seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.verdict import Verdict
from llmesr.prose import listed
from llmesr.views.compare.report import Measured
from llmesr.views.shared import theme

PARTS = {"Head Item": "when it is popular", "Tail Item": "when it is in the tail"}
SERIOUS = 2
"""So many doubts are said on the first slide, the others are counted: all are on the slide about them."""
AGAINST = "What stands against this comparison"


def in_order(found: Measured) -> list[Verdict]:
    """The best overall first; of equals the one that the first slide is about."""

    def overall(verdict: Verdict) -> float:
        answer = verdict.answer("Overall")
        return answer.difference if answer is not None and np.isfinite(answer.difference) else -np.inf

    return sorted(found.verdicts, key=lambda v: (-overall(v), v.run != found.foremost))


def opening_title(name: str, reference: Contender, foremost: Contender | None) -> str:
    """What the first slide is about."""
    if foremost is None:
        return f"{name}: whom the recommender fails"
    if foremost.with_text and not reference.with_text:
        return f"{name}: whom the recommender fails, and what text changes"
    return f"{name}: {foremost.name} compared with {reference.name}"


def opening(found: Measured, reference: Contender, foremost: Contender | None) -> list[str]:
    """What stands against it, the two values of the baseline, those of the best beside it with the verdict on each, and
    what text changes about one and the same model."""
    values = {
        name: rows.set_index("group")["value"].to_dict()
        for name, rows in found.summary[found.summary["group"].isin(PARTS)].groupby("run")
    }
    said = next((v for v in found.verdicts if foremost is not None and v.run == foremost.name), None)
    apart = foremost is not None and foremost.with_text and not reference.with_text
    lines = _against(said)
    if words := _values(found, values.get(reference.name, {}), None):
        who = f"Without item text ({reference.name})" if apart else f"With {reference.name}"
        rate = found.metric.startswith("HR")
        what = f"the next item is among the first {found.k} for" if rate else f"{found.metric} of the next item is"
        lines.append(f"{who} {what} {words.replace('%', '% of users', 1) if rate else words}.")
    if foremost is not None and (words := _values(found, values.get(foremost.name, {}), said)):
        lines.append(f"With {f'item text ({foremost.name})' if apart else foremost.name}: {words}.")
    return [*lines, *filter(None, [found.alike])]


def _values(found: Measured, values: Mapping[str, float], said: Verdict | None) -> str:
    """What it is for popular items and for those in the tail, each with the verdict."""
    parts = []
    for group, when in PARTS.items():
        answer = said.answer(group) if said is not None else None
        if np.isfinite(value := values.get(group, np.nan)):
            judged = f" ({said.word(answer)})" if said is not None and answer is not None else ""
            parts.append(f"{theme.scored(value, found.metric)} {when}{judged}")
    return listed(parts) if parts else ""


def _against(said: Verdict | None) -> list[str]:
    serious = [d.sentence for d in said.doubts] if said is not None else []
    lines = [f"Not settled: {sentence}" for sentence in serious[:SERIOUS]]
    if len(serious) > SERIOUS:
        lines[-1] += f" And {len(serious) - SERIOUS} more: see “{AGAINST}”."
    return lines
