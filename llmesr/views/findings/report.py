"""Findings as one self-contained HTML file: a summary first, then each with its chart, its numbers and its doubts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import plotly.graph_objects as go

from llmesr.findings import Pinned, changes
from llmesr.prose import counted, listed
from llmesr.store import provenance
from llmesr.views.shared import theme, words
from llmesr.views.shared.recolour import checked
from llmesr.views.shared.report import Section, html_report
from llmesr.views.shared.theme import Mode

ROWS = 30
"""Rows of a table that are shown: the report is read, not calculated with."""
PATHS = 5_000
"""Up to so many points of a map are drawn without WebGL, which not every browser has; more of them would be slow."""


def findings_report(findings: Sequence[Pinned], title: str = "Findings", *, paper: bool = False) -> str:
    """The report as one HTML document, in the order given; for ``paper`` no chart needs WebGL, however many its points:
    a browser that prints from the command line has none."""
    metrics = list(dict.fromkeys(f.subject.metric for f in findings if f.subject.metric))
    protocols = list(dict.fromkeys(f.subject.protocol for f in findings if f.subject.protocol))
    definitions = {m: words.metric_meaning(m) for m in metrics}
    definitions |= {words.PROTOCOL_NAMES[p]: words.PROTOCOLS[p] for p in protocols if p in words.PROTOCOLS}
    definitions["Counts"] = words.COUNTED
    made = provenance()
    return html_report(
        title,
        summary(findings),
        [section(f, number, paper=paper) for number, f in enumerate(findings, start=1)],
        provenance={
            "Written": made["created"],
            "Versions": made["versions"],
            "Findings": {f"{n}. {f.title}": _origin(f) for n, f in enumerate(findings, start=1)},
        },
        definitions=definitions,
    )


def summary(findings: Sequence[Pinned], titles: Sequence[str] | None = None) -> list[str]:
    """What stands first: of which data, then each finding in a line. ``titles``: what they are called where that is
    not what they were pinned as."""
    data = list(dict.fromkeys(f.subject.dataset_name for f in findings if f.subject.dataset_name))
    head = f"{counted(len(findings), 'finding')}{f' on {listed(data)}' if data else ''}."
    serious = sum(any(severity == "serious" for severity, _ in f.subject.doubts) for f in findings)
    if serious:
        head += f" Something serious stands against {serious} of them; it is said with each."
    named = zip(titles or [f.title for f in findings], findings, strict=True)
    return [head, *(f"{n}. {title}{_after(f)}" for n, (title, f) in enumerate(named, start=1))]


def section(finding: Pinned, number: int, *, paper: bool = False) -> Section:
    """One finding: its note, what stands against it, the chart or the table, and what its numbers are."""
    table = finding.table()
    paragraphs = [*finding.note.splitlines(), *against(finding)]
    if table is not None and max(finding.rows, len(table)) > ROWS:
        paragraphs.append(f"The table shows the first {ROWS} of {max(finding.rows, len(table)):,} rows.")
        table = table.head(ROWS)
    chart = partial(_chart, finding, paper) if finding.figure() is not None else None
    return Section(f"{number}. {finding.title}", paragraphs, chart, finding.alt, table, origin_line(finding))


def against(finding: Pinned) -> list[str]:
    """What the guard found when it was pinned, and what has happened to its runs since."""
    doubts = [f"{severity.capitalize()}: {sentence}" for severity, sentence in finding.subject.doubts]
    return [*doubts, *changes(finding)]


def origin_line(finding: Pinned) -> str:
    """Data, definition and day in a line."""
    of = finding.subject
    parts = [
        of.dataset_name and f"{of.dataset_name}.",
        of.definition,
        f"Pinned {theme.date(finding.manifest.created)}.",
    ]
    return " ".join(p for p in parts if p)


def _chart(finding: Pinned, paper: bool, mode: Mode) -> go.Figure:
    chart = checked(finding, mode)
    assert chart is not None  # asked for only where there is one
    many = sum(len(t.get("x") or []) for t in chart["data"] if t.get("type") == "scattergl")
    if paper or many <= PATHS:
        chart |= {"data": [t | {"type": "scatter"} if t.get("type") == "scattergl" else t for t in chart["data"]]}
    return go.Figure(chart)


def _after(finding: Pinned) -> str:
    """The first line of a note, to stand behind the title."""
    lines = finding.note.splitlines()
    return f": {words.one_line(lines[0], 240)}" if lines else ""


def _origin(finding: Pinned) -> dict[str, Any]:
    of = finding.subject
    return {
        "Finding": finding.id,
        "Dataset": of.dataset or None,
        "Runs": list(of.runs),
        "In the app": finding.link or None,
        "Git commit": finding.manifest.git_commit,
    }
