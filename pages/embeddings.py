"""Embeddings: what text knows and what behaviour knows, as two linked maps of the same points."""

from llmesr.views import loaders, panels, panels_maps

panels.page(
    "Embeddings",
    "Where text and behaviour agree about an item, and where not. What you select in one map lights up in the other.",
)
with panels.boundary("The maps"):
    root = loaders.store()
    dataset = panels.pick_dataset(root)
    choice = panels_maps.choose(root, dataset.id) if dataset else None
    panels.damaged(root, "maps")
    panels.damaged(root, "embeddings")
    if choice:
        panels_maps.offer_umap(choice)
        panels_maps.maps(choice)
        panels_maps.diagnosis(choice)
        panels_maps.definition(choice)
