"""Embeddings: what text knows and what behaviour knows, as two linked maps of the same points."""

from llmesr.views.cache import artifacts
from llmesr.views.embeddings import panels
from llmesr.views.shared import pickers, widgets

widgets.page(
    "Embeddings",
    "Where text and behaviour agree about an item, and where not. What you select in one map lights up in the other.",
)
with widgets.boundary("The maps"):
    root = artifacts.store()
    dataset = pickers.pick_dataset(root)
    choice = panels.choose(root, dataset.id) if dataset else None
    widgets.damaged(root, "maps")
    widgets.damaged(root, "embeddings")
    if choice:
        panels.offer_umap(choice)
        panels.maps(choice)
        panels.diagnosis(choice)
        panels.definition(choice)
