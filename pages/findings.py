"""Findings: what was pinned on other pages, in an order, to be presented and taken along; and blind votes."""

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.findings import panels, vote
from llmesr.views.shared import links, presenting, widgets

PARTS = {"findings": "Findings", "vote": "Blind votes"}

root = artifacts.store()
if presenting.alone():
    with widgets.boundary("This screen"):
        if shown := st.query_params.get("vote"):
            vote.shown(root, shown)
        else:
            panels.presented(root)
else:
    widgets.page("Findings", "What you have pinned, in the order you will show it, and votes of an audience.")
    part = links.choose(
        "Show", list(PARTS), "stage", kind="segmented", show=PARTS.__getitem__, label_visibility="collapsed"
    )
    with widgets.boundary("The findings"):
        if part == "vote":
            vote.votes(root)
        else:
            panels.board(root)
            widgets.damaged(root, "findings")
