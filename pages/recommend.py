"""Recommend: edit a history, compare runs, re-rank, and see what moves and why."""

from llmesr.views.cache import artifacts
from llmesr.views.recommend import panels
from llmesr.views.shared import links, pickers, widgets

widgets.page(
    "Recommend",
    "What several runs recommend to the same user, why, and what changes when you adjust the scoring.",
)
with widgets.boundary("The recommendations"):
    root = artifacts.store()
    manifest = pickers.pick_dataset(root)
    runs = artifacts.runs(root, manifest.id, finished=True) if manifest else []
    widgets.damaged(root, "runs")
    if manifest and not runs:
        widgets.empty("No run of this dataset has finished yet.", links.TRAINING, "Train a run")
    elif manifest and (chosen := panels.pick(runs)):
        data = artifacts.dataset(root, manifest.id)
        panels.lists(root, data, chosen)
        panels.definition(data)
