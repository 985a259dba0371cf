"""Neighbours: one tail user at a time: who was retrieved as similar, and what it changed."""

from llmesr.views.cache import artifacts
from llmesr.views.neighbours import panels, similar
from llmesr.views.neighbours.choice import choose
from llmesr.views.shared import exhibits, pickers, widgets

widgets.page(
    "Neighbours",
    "One user at a time: who is similar by text, who by behaviour, and did they choose what this user chose next?",
)
with widgets.boundary("This user"):
    root = artifacts.store()
    dataset = pickers.pick_dataset(root)
    choice = choose(root, dataset.id) if dataset else None
    widgets.damaged(root, "runs")
    if choice:
        panels.heading(choice)
        panels.ranks(choice)
        similar.similar_users(choice)
        exhibits.caption(choice.protocol, choice.thresholds, choice.dataset.split_config)
