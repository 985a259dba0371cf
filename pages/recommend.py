"""Recommend: edit a history, compare runs, re-rank, and see what moves and why."""

from llmesr.views import loaders, panels, panels_recommend

panels.page(
    "Recommend",
    "What several runs would recommend to the same person, why, and what changes when you turn the knobs.",
)
with panels.boundary("The recommendations"):
    root = loaders.store()
    manifest = panels.pick_dataset(root)
    runs = loaders.runs(root, manifest.id, finished=True) if manifest else []
    panels.damaged(root, "runs")
    if manifest and not runs:
        panels.empty("No run of this dataset is finished yet.", "pages/training.py", "Train a run")
    elif manifest and (chosen := panels_recommend.pick(runs)):
        data = loaders.dataset(root, manifest.id)
        panels_recommend.lists(root, data, chosen)
        panels_recommend.definition(data)
