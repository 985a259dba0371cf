"""What is here, whom the recommender fails, and what text changes."""

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.overview import panels
from llmesr.views.shared import pickers, widgets

widgets.page(
    "Whom does the recommender fail?",
    "Rarely chosen items and users with short histories leave little to learn from. Does it help when the recommender "
    "reads what the items are? See who gains, by how much, and who loses.",
)
root = artifacts.store()
manifest = pickers.pick_dataset(root) if artifacts.manifests(root, "datasets") else None
if manifest is None:
    panels.first_steps(root)
    widgets.damaged(root, "datasets")
    st.stop()

protocol = pickers.pick_protocol()
pickers.pick_image_format()
data = artifacts.dataset(root, manifest.id)
thresholds = pickers.pick_thresholds(root, data)

runs = artifacts.runs(root, manifest.id, finished=True)
if runs:
    panels.more_to_come(root, manifest)
    with widgets.boundary("The headline"):
        panels.show_headline(root, data, runs, protocol, thresholds)
else:
    panels.no_runs(root, manifest)
panels.tiles(data, thresholds)

st.subheader("Where next", anchor=False)
panels.next_steps()
st.subheader("Datasets, runs and jobs", anchor=False)
panels.inventory(root)
