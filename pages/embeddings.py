"""Embeddings: what text knows and what behaviour knows, as two linked maps of the same points."""

from llmesr.views.cache import artifacts
from llmesr.views.embeddings import panels
from llmesr.views.embeddings.choice import choose, offer_umap
from llmesr.views.shared import pickers, widgets

widgets.page(
    "Embeddings",
    "Where text and behaviour agree about an item, and where they do not. Select items in one map to find them in the "
    "other.",
)
with widgets.boundary("The maps"):
    root = artifacts.store()
    dataset = pickers.pick_dataset(root)
    choice = choose(root, dataset.id) if dataset else None
    widgets.damaged(root, "maps")
    widgets.damaged(root, "embeddings")
    if choice:
        offer_umap(choice)
        panels.maps(choice)
        panels.diagnosis(choice)
        panels.definition(choice)
