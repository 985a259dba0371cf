"""Lab: a product that is not there yet, another text for an item, and which texts to repair first."""

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.lab import edit, new_product, past, repair
from llmesr.views.lab.choice import choose
from llmesr.views.shared import pickers, widgets

VIEWS = {"new": new_product.view, "edit": edit.view, "repair": repair.view}

widgets.page(
    "Lab",
    "What a run would do with a text that is not there yet: a new product, other words for an item, texts to repair.",
)
with widgets.boundary("The lab"):
    root = artifacts.store()
    manifest = pickers.pick_dataset(root)
    with st.container(key="lab-page"):
        choice = choose(root, manifest.id) if manifest else None
        if choice:
            VIEWS[choice.view](choice)
    if choice and choice.view == "new":
        past.section(choice)
    widgets.damaged(root, "runs")
