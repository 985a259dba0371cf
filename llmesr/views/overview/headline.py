"""The first numbers anybody sees: the best of each method, and in a sentence whom it fails and what text changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.verdict import Verdict
from llmesr.views.shared import theme

LARGE = 0.15
"""From this relative change on a ratio is worth saying."""


@dataclass(frozen=True)
class Headline:
    """What the sentence is made of. ``frame`` has columns run (label), group and value; ``blind`` and ``reading`` are
    labels of the best without and with text, ``verdict`` the second against the first; ``doubts`` are serious; in the
    groups of ``rare`` one of the two hits too rarely for a ratio."""

    frame: pd.DataFrame
    blind: str | None
    reading: str | None
    verdict: Verdict | None = None
    doubts: Sequence[Doubt] = ()
    rare: Collection[str] = ()

    def value(self, run: str, group: str) -> float:
        rows = self.frame
        found = rows.loc[(rows["run"] == run) & (rows["group"] == group), "value"]
        return float(found.iloc[0]) if len(found) else float("nan")


def sentence(h: Headline, by: str = "Item", k: int = 10) -> str:
    """Whom the model without text fails, and what text changes, for the side that is looked at (Item or User).

    Where nothing differs that comes first. While something serious stands, no ratio is given and the sentence says
    that it is not settled; what stands against it is shown beside it.
    """
    said = []
    if h.verdict is not None and not h.verdict.judged:
        said.append(f"**Too little data** to tell {h.reading} and {h.blind} apart in any group.")
    elif h.verdict is not None and not h.verdict.significant:
        said.append(f"**No clear difference** between {h.reading} and {h.blind} in any group.")
    if h.blind:
        said.append(_without(h, h.blind, by, k))
    if h.reading:
        said.append(_with(h, h.reading, by))
    text = " ".join(said)
    if text and h.doubts:
        text = f"{text[:-1]}, but that is not settled."
    return text


def _without(h: Headline, blind: str, by: str, k: int) -> str:
    tail, head = (theme.percent(h.value(blind, f"{end} {by}"), 1) for end in ("Tail", "Head"))
    start = f"Without item text ({blind}) the next item is among the first {k} for "
    if by == "Item":
        return f"{start}**{head}** of users when that item is popular, and for **{tail}** when it is in the tail."
    return f"{start}**{head}** of users with a long history, and for **{tail}** of those with a short one."


def _with(h: Headline, reading: str, by: str) -> str:
    tail, head = (theme.percent(h.value(reading, f"{end} {by}"), 1) for end in ("Tail", "Head"))
    times = _times(h, reading, f"Tail {by}")
    if by == "Item":
        return f"With item text ({reading}) it is **{tail}** in the tail{times} and **{head}** for popular items."
    return f"With item text ({reading}) it is **{tail}** with a short history{times} and **{head}** with a long one."


def _times(h: Headline, reading: str, group: str) -> str:
    """How many times as often, where a test found a difference there, hits are not rare and nothing serious stands."""
    answer = h.verdict.answer(group) if h.verdict is not None else None
    if h.doubts or group in h.rare or h.blind is None or answer is None or answer.outcome not in ("better", "worse"):
        return ""
    before, after = h.value(h.blind, group), h.value(reading, group)
    return f" ({after / before:.1f} times as often)" if before > 0 and abs(after / before - 1) >= LARGE else ""
