"""What is here, whom the recommender fails, and what text changes."""

import streamlit as st

from llmesr.views import loaders, panels
from llmesr.views import panels_overview as parts

panels.page(
    "Whom does the recommender fail?",
    "Rarely chosen items and users with short histories leave little to learn from. Does it help a recommender to read "
    "what the items are? Here you see whom, by how much and at whose cost.",
)
root = loaders.store()
if not loaders.manifests(root, "datasets"):
    parts.first_steps(root)
    panels.damaged(root, "datasets")
    st.stop()

manifest = panels.pick_dataset(root)
protocol = panels.pick_protocol()
panels.image_format()
data = loaders.dataset(root, manifest.id)
parts.tiles(data)

runs = loaders.runs(root, manifest.id, finished=True)
if runs:
    with panels.boundary("The headline"):
        parts.show_headline(root, data, runs, protocol)
else:
    parts.no_runs(root, manifest)

st.subheader("Where next", anchor=False)
parts.next_steps()
st.subheader("What is here", anchor=False)
parts.inventory(root)
