"""What the guard found, shown in the same way wherever runs are compared."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llmesr.evaluation.findings import Finding, serious
from llmesr.views.shared.words import as_text

_ICONS = {"serious": ":material/warning:", "caution": ":material/info:", "note": ":material/notes:"}


def listed(findings: Sequence[Finding]) -> None:
    """Every finding with its remedy, folded away under a line that says how many are serious."""
    if not findings:
        return
    grave = len(serious(findings))
    rest = len(findings) - grave
    parts = [f"{grave} serious" if grave else "", f"{rest} to bear in mind" if rest else ""]
    title = "Before you repeat this: " + ", ".join(p for p in parts if p)
    with st.expander(title, icon=":material/gavel:"):
        for finding in findings:
            text = as_text(finding.sentence, 600)
            st.markdown(
                f"{_ICONS[finding.severity]} {':orange[' + text + ']' if finding in serious([finding]) else text}"
            )
