"""Neighbours: one tail user at a time: who was retrieved as similar, and what it changed."""

from llmesr.views import loaders, panels, panels_neighbours

panels.page(
    "Neighbours",
    "One user at a time: who is similar by text, who by behaviour, and whether they knew what this user chose next.",
)
with panels.boundary("This user"):
    root = loaders.store()
    dataset = panels.pick_dataset(root)
    choice = panels_neighbours.choose(root, dataset.id) if dataset else None
    panels.damaged(root, "runs")
    if choice:
        panels_neighbours.heading(choice)
        panels_neighbours.ranks(choice)
        panels_neighbours.similar_users(choice)
        panels.caption(choice.protocol, choice.dataset.thresholds)
