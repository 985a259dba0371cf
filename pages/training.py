"""Configure, launch, watch, stop and resume training.

What stands above a part that draws itself live is in a container: Streamlit knows a fragment by its place, and one that
moves while it is drawn is seen twice and loses clicks.
"""

import streamlit as st

from llmesr.views.cache import artifacts
from llmesr.views.shared import exhibits, job_panels, links, pickers, pins, widgets
from llmesr.views.training import best, finetune, form, given, leaderboard, panels

PARTS = {
    "new": "New run",
    "best": "Find the best",
    "tune": "Fine-tune the text model",
    "watch": "Runs and curves",
    "queue": "Queue",
}

widgets.page(
    "Training",
    "Choose a method and its settings, start training, and watch head and tail as the model learns. "
    "Jobs keep running when you leave the page or close the browser.",
)
root = artifacts.store()
manifest = pickers.pick_dataset(root)
if manifest is not None:
    protocol = pickers.pick_protocol()
    pickers.pick_image_format()
    data = artifacts.dataset(root, manifest.id)
    part = links.choose(
        "Show", list(PARTS), "part", kind="segmented", show=PARTS.__getitem__, label_visibility="collapsed"
    )

    if part == "new":
        config, steps = form.form(root, manifest)
        with st.container(key="launch-bar"):  # always in sight: what it takes, and the button
            form.show_estimate(root, data, config, form.trainings(steps))
            form.launch(root, manifest, steps, config.views or ())
        form.commands(steps)
    elif part == "best":
        with st.container(), widgets.boundary("The form"):
            best.form(root, manifest, data)
            best.blend_form(root, manifest)
        best.history(root, manifest)
    elif part == "tune":
        with st.container(), widgets.boundary("The form"):
            finetune.form(root, manifest, data)
        finetune.history(root, manifest)
    elif part == "watch":
        with st.container():
            leaderboard.leaderboard(root, manifest, data.thresholds, protocol)
        run_id = panels.pick_run(root, manifest)
        if run_id is None:
            widgets.empty("No run of this dataset yet: launch one under New run.")
        else:
            pins.about(data, [run_id], data.thresholds, protocol=protocol, part="valid")
            panels.watch(root, run_id, protocol)
            exhibits.caption(protocol, data.thresholds, data.split_config, "valid")
            exhibits.explain(["NDCG@10"])
            given.clone_button(root, run_id)
    else:
        job_panels.job_list(root)
    widgets.damaged(root, "runs")
