"""Findings as one file for others: a report, slides, or pages to print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llmesr.errors import UserError
from llmesr.findings import Pinned
from llmesr.store import deliver
from llmesr.views.findings.deck import findings_deck
from llmesr.views.findings.paper import printed
from llmesr.views.findings.report import findings_report

FORMS: dict[str, Callable[[Sequence[Pinned], str], bytes]] = {
    ".html": lambda findings, title: findings_report(findings, title).encode(),
    ".pptx": findings_deck,
    ".pdf": lambda findings, title: printed(findings_report(findings, title, paper=True)),
}


def write(findings: Sequence[Pinned], path: Path, *, title: str = "Findings") -> Path:
    """Write ``findings`` to ``path``; its ending says in which form. UserError for another ending or no findings."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise UserError(f"{path.name} does not say in which form: give a name that ends in {', '.join(FORMS)}.")
    if not findings:
        raise UserError("There are no findings to export. Pin a chart in the app, or `llmesr.findings.pin` in Python.")
    deliver(path, form(findings, title))
    return path
