"""Like for like: what text changes about one and the same model, beside what leads without and with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    found = []
    for plain, text in pairs:
        lineup = {name(c): c.ids for c in (plain, text)}
        found += evidence.judged(root, lineup, name(plain), thresholds, metric, protocol, among=among)
    return found


def sentence(verdicts: Sequence[Verdict], values: Mapping[str, float], group: str, metric: str) -> str:
    """What text changes for ``group``, model by model; ``values`` of it by name. Empty where there is no pair."""
    told: dict[str, list[str]] = {}
    for verdict in verdicts:
        answer = verdict.answer(group)
        if answer is not None:
            word = verdict.word(answer)
            told.setdefault(verdict.baseline, []).append(
                f"{verdict.run} {_value(values[verdict.run], metric)} ({word})"
            )
    if not told:
        return ""
    parts = [f"{plain} {_value(values[plain], metric)}, {listed(with_text)}" for plain, with_text in told.items()]
    return f"The same model without text and with it, {ENDS[group]}: {'; '.join(parts)}."


def _value(value: float, metric: str) -> str:
    return theme.percent(value, 1) if metric.startswith("HR") else theme.metric(value)
