"""Compare: runs side by side by head and tail, with uncertainty."""

from __future__ import annotations

import streamlit as st

from llmesr.views import loaders, panels, panels_compare, panels_policy, panels_search

VIEWS = {
    "groups": panels_compare.groups,
    "curves": panels_compare.curves,
    "seesaw": panels_compare.who_pays,
    "lists": panels_compare.lists,
    "users": panels_compare.users,
    "scoring": lambda choice: panels_policy.scoring(choice.root, choice.dataset.id, choice.protocol),
    "search": panels_search.searches,
}

panels.page("Compare", "Which configuration serves whom better, by how much, how surely, and at whose cost.")
with panels.boundary("The comparison"):
    root = loaders.store()
    dataset = panels.pick_dataset(root)
    choice = panels_compare.choose(root, dataset.id) if dataset else None
    panels.damaged(root, "runs")
    if choice:
        panels_compare.verdict(choice)
        view = panels.choose(
            "View",
            list(VIEWS),
            "view",
            kind="segmented",
            show=panels_compare.VIEWS.__getitem__,
            label_visibility="collapsed",
        )
        VIEWS[str(view)](choice)
        if view not in ("scoring", "search"):  # these speak of validation, one in a protocol of its own
            panels.caption(choice.protocol, choice.thresholds)
        with st.container(horizontal=True):
            panels.explain([choice.metric, "Coverage", "Gini", "ARP", "APLT", "Novelty", "ILD"])
            panels_compare.report_button(choice)
