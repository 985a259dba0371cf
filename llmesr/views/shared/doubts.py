"""What the guard found, shown in the same way wherever runs are compared."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llmesr.evaluation.findings import Finding, serious
from llmesr.views.shared import links
from llmesr.views.shared.words import as_text

_ICONS = {"caution": ":material/info:", "note": ":material/notes:"}


def shown(findings: Sequence[Finding]) -> None:
    """Above a comparison: what is serious in amber, with the way to its remedy; the rest folded away."""
    amber(findings)
    folded(findings)


def amber(findings: Sequence[Finding]) -> None:
    """What is serious, with the way to its remedy."""
    grave = serious(findings)
    if grave:
        listed = "\n".join(f"- {as_text(f.sentence, 600)}" for f in grave)
        st.warning(f"**Not settled yet**, so nothing here is called better:\n\n{listed}", icon=":material/warning:")
        _ways(grave)


def folded(findings: Sequence[Finding]) -> None:
    """What is to be borne in mind, under a line that says how much that is."""
    rest = [f for f in findings if f not in serious(findings)]
    if rest:
        with st.expander(f"Before you repeat this: {len(rest)} to bear in mind", icon=":material/gavel:"):
            for finding in rest:
                st.markdown(f"{_ICONS[finding.severity]} {as_text(finding.sentence, 600)}")


def _ways(grave: Sequence[Finding]) -> None:
    """A link for each thing that a click can begin: training more, or taking the stronger baseline."""
    remedies = [f.remedy for f in grave if f.remedy]
    stronger = list(dict.fromkeys(str(f.numbers["stronger"]) for f in grave if f.kind == "weak-baseline"))
    with st.container(horizontal=True):
        if any(r.trains for r in remedies):
            links.link(links.TRAINING, "Train what is missing", links.TRAINING.icon)
        for name in stronger:
            links.link(links.COMPARE, f"Compare with {as_text(name, 60)}", links.COMPARE.icon, against=name)
