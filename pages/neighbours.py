"""Neighbours: one tail user at a time: who was retrieved as similar, and what it changed."""

from llmesr.views.cache import artifacts
from llmesr.views.neighbours import panels
from llmesr.views.shared import widgets

widgets.page(
    "Neighbours",
    "One user at a time: who is similar by text, who by behaviour, and whether they knew what this user chose next.",
)
with widgets.boundary("This user"):
    root = artifacts.store()
    dataset = widgets.pick_dataset(root)
    choice = panels.choose(root, dataset.id) if dataset else None
    widgets.damaged(root, "runs")
    if choice:
        panels.heading(choice)
        panels.ranks(choice)
        panels.similar_users(choice)
        widgets.caption(choice.protocol, choice.dataset.thresholds)
