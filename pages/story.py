"""Story: a guided walk in five steps through any dataset, to be shown to others."""

from __future__ import annotations

from llmesr.views.cache import artifacts
from llmesr.views.shared import pickers, widgets
from llmesr.views.story import panels

with widgets.boundary("The story"):
    root = artifacts.store()
    dataset = pickers.pick_dataset(root)
    if dataset:
        panels.tell(root, dataset)
