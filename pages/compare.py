"""Compare: runs side by side by head and tail, with uncertainty."""

from __future__ import annotations

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.compare import allocation, claims, panels, scoring, search, slices, splits, studies, views
from llmesr.views.compare.choice import choose
from llmesr.views.compare.download import download_buttons
from llmesr.views.shared import exhibits, pickers, widgets

VIEWS = {
    "groups": panels.groups,
    "curves": panels.curves,
    "slices": slices.slices,
    "users": panels.users,
    "seesaw": panels.trade_offs,
    "lists": panels.lists,
    "popularity": panels.popularity,
    "splits": splits.splits,
    "defend": claims.defend,
    "scoring": lambda choice: scoring.scoring(choice.root, choice.dataset.id, choice.protocol),
    "allocation": allocation.allocations,
    "search": search.searches,
    "study": studies.studies,
}

widgets.page("Compare", "Which configuration is better, for whom, by how much, and how sure can we be?")
with widgets.boundary("The comparison"):
    root = artifacts.store()
    dataset = pickers.pick_dataset(root)
    widgets.damaged(root, "runs")
    # A small screen shows the answer before who is compared.
    page = st.container(key="compare-page")
    with page.container(key="compare-choice"):
        choice = choose(root, dataset.id) if dataset else None
    if choice:
        choice.pinnable()
        # Of validation, of both protocols or of several splits: these views say so themselves.
        with page:
            view = views.pick()
            panels.doubtful(choice)
        stated = view in ("scoring", "search", "splits", "popularity", "study")
        with page.container(key="compare-answer"):
            if view == "groups":
                panels.verdict(choice)
            else:
                choice.pinnable(stated=stated)
                VIEWS[view](choice)
        with page.container(key="compare-rest"):
            choice.pinnable()
            (VIEWS["groups"] if view == "groups" else panels.verdict_folded)(choice)
            if not stated:
                exhibits.caption(choice.protocol, choice.thresholds, choice.dataset.split_config)
            with st.container(horizontal=True):
                exhibits.explain([choice.metric, "Coverage", "Gini", "ARP", "APLT", "Novelty", "ILD"])
                download_buttons(choice)
