"""Findings as slides: a summary, then one finding each, as a chart that PowerPoint draws itself or as its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from llmesr.findings import Pinned
from llmesr.findings.record import LONGEST_TITLE
from llmesr.views.findings.native import Bars, Dots, native
from llmesr.views.findings.plane import Points
from llmesr.views.findings.report import against, origin_line, summary
from llmesr.views.shared.deck import Around, Deck
from llmesr.views.shared.marks import unmarked
from llmesr.views.shared.recolour import checked
from llmesr.views.shared.report import number
from llmesr.views.shared.words import one_line

LINES = 11
"""Findings that one slide of the summary names."""
ROWS, COLUMNS = 16, 8
"""What of a table can be read on a slide; the rest is counted."""
LEAD, MIND = 240, 160
"""Letters of a sentence above what a slide shows, and in the line below it."""
NOT_DRAWN = (
    "PowerPoint has no chart that shows this. The report (HTML) holds it, and the app under the link in the notes."
)


def findings_deck(findings: Sequence[Pinned], title: str = "Findings") -> bytes:
    """The slides as a PowerPoint file, in the order given."""
    deck = Deck(title)
    charts = [_chart(finding) for finding in findings]
    titles = [_title(finding, chart) for finding, chart in zip(findings, charts, strict=True)]
    lines = summary(findings, titles)
    for first in range(0, len(lines), LINES):
        deck.text(title if first == 0 else f"{title} (continued)", lines[first : first + LINES])
    for finding, chart, called in zip(findings, charts, titles, strict=True):
        _slide(deck, finding, chart, called)
    return deck.bytes()


def _chart(finding: Pinned) -> Dots | Bars | Points | None:
    chart = checked(finding, "light")
    return None if chart is None else native(chart)


def _title(finding: Pinned, chart: Dots | Bars | Points | None) -> str:
    """Its own, word for word; where that is the chart's and the chart gives another for standing upright, that one."""
    if not isinstance(chart, Dots) or not chart.title:
        return finding.title
    own = (finding.figure() or {}).get("layout", {}).get("title") or {}
    return chart.title if finding.title == unmarked(own.get("text", ""))[:LONGEST_TITLE] else finding.title


def _slide(deck: Deck, finding: Pinned, chart: Dots | Bars | Points | None, title: str) -> None:
    notes = [finding.note, *against(finding), *([f"In the app: {finding.link}"] if finding.link else [])]
    line = f"{_mind(finding)} {origin_line(finding)}".strip()
    around = Around(_lead(finding), line, "\n\n".join(n for n in notes if n))
    table = finding.table()
    if isinstance(chart, Dots):
        marks = dict.fromkeys(chart.colors, "circle")
        deck.dots(title, chart.frame, chart.colors, marks, chart.axis, around, joined=chart.joined)
    elif isinstance(chart, Bars):
        deck.bars(
            title, chart.frame, chart.colors, chart.axis, around,
            stacked=chart.stacked, lying=chart.lying, number_format=chart.number_format,
        )  # fmt: skip
    elif isinstance(chart, Points):
        around = replace(around, line=f"{chart.line} {around.line}".strip())
        deck.points(title, chart.series, chart.axes, around, names=chart.names, square=chart.square)
    elif table is not None and len(table):
        deck.table(title, readable(table), _counted(around, finding, table))
    else:
        deck.text(title, [*around.lead, finding.alt, NOT_DRAWN, around.line], around.notes)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows and columns of a table as text."""
    part = table.iloc[:ROWS, :COLUMNS]
    return pd.DataFrame([[_cell(v) for v in row] for row in part.itertuples(index=False)], columns=part.columns)


def _cell(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return (
        number(value)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        else one_line(value, 60)
    )


def _counted(around: Around, finding: Pinned, table: pd.DataFrame) -> Around:
    """With a word of what does not fit."""
    shown, columns = min(len(table), ROWS), min(table.shape[1], COLUMNS)
    if finding.rows <= shown and table.shape[1] <= columns:
        return around
    said = f"Shown: {shown:,} of {max(finding.rows, len(table)):,} rows, {columns} of {table.shape[1]} columns."
    return Around(around.lead, f"{said} {around.line}", around.notes)


def _mind(finding: Pinned) -> str:
    """What is to be borne in mind without being serious: the first of it, and how much more there is."""
    mild = [sentence for severity, sentence in finding.subject.doubts if severity != "serious"]
    more = f" And {len(mild) - 1} more, in the notes." if len(mild) > 1 else ""
    return "".join(f"Bear in mind: {one_line(s, MIND)}{more}" for s in mild[:1])


def _lead(finding: Pinned) -> list[str]:
    """The beginning of the note, and what is serious: both must be seen without the speaker."""
    serious = [sentence for severity, sentence in finding.subject.doubts if severity == "serious"]
    lines = [one_line(finding.note, LEAD)] if finding.note else []
    more = f" And {len(serious) - 1} more, in the notes." if len(serious) > 1 else ""
    return [*lines, *(f"Not settled: {one_line(s, LEAD)}{more}" for s in serious[:1])]
