"""Upload, map columns, validate, see the long tail, say where it begins."""

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.datasets import panels, upload
from llmesr.views.shared import links, pickers, pins, widgets

LOOKS = {"profile": "Look at a dataset", "add": "Add a dataset"}

widgets.page(
    "Datasets",
    "Upload interactions and items, check what was imported, and see how long the tail is.",
)
root = artifacts.store()
upload.arrived(root)
there = bool(artifacts.manifests(root, "datasets"))
looks = list(LOOKS) if there else ["add"]
look = links.choose("Show", looks, "look", kind="segmented", show=LOOKS.__getitem__, label_visibility="collapsed")

if upload.importing(root):
    pass
elif look == "add":
    with widgets.boundary("The upload"):
        upload.add(root)
elif manifest := pickers.pick_dataset(root):
    pickers.pick_image_format()
    data = artifacts.dataset(root, manifest.id)
    panels.next_step(root, manifest)
    panels.report(manifest)
    numbers = st.container()
    thresholds = panels.thresholds_control(root, data)
    profile = artifacts.profile(root, manifest.id, thresholds)
    with numbers:
        panels.tail_numbers(profile)
    pins.about(data, (), thresholds)
    panels.charts(profile, data, thresholds)
    panels.known_users(data)
    panels.delete(root, manifest)
widgets.damaged(root, "datasets")
