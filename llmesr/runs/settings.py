"""The settings of runs across versions; read by commands that start before anything is loaded."""

from __future__ import annotations

from typing import Any

from llmesr.config import settings_read
from llmesr.store import Manifest

FORMERLY: dict[str, Any] = {
    "adapter_init": "random",
    "alignment_loss": "inner_product",
    "batches": "users",
    "graph_steps": 0,
    "graph_weight": 1.0,
    "item_updates": "auto",  # which is what they had, but on large catalogues under sampled losses
    "ranking": "exact",
    "text_table": "auto",
    "validation_users": None,
}
"""What runs were made with before these settings could be chosen."""


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """The settings that a run depends on, whichever version made it: what its method never reads is left out."""
    return settings_read({**FORMERLY, **manifest.config})
