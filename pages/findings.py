"""Findings: what was pinned on other pages, with notes, in an order, to be presented and taken along."""

from llmesr.views.cache import artifacts
from llmesr.views.findings import panels
from llmesr.views.shared import presenting, widgets

if not presenting.alone():
    widgets.page("Findings", "Charts and tables you have pinned, in the order you will show them.")
with widgets.boundary("The findings"):
    root = artifacts.store()
    if presenting.alone():
        panels.presented(root)
    else:
        panels.board(root)
    widgets.damaged(root, "findings")
