"""Story: a guided walk in five steps through any dataset, to be shown to others."""

from __future__ import annotations

from llmesr.views import loaders, panels, panels_story

with panels.boundary("The story"):
    root = loaders.store()
    dataset = panels.pick_dataset(root)
    if dataset:
        panels_story.tell(root, dataset)
