"""Named starting points of a training run."""

from __future__ import annotations

from typing import Any

from llmesr.errors import UserError

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "loss": "bce",
        "dropout": 0.5,
        "max_length": 200,
        "fusion": "cross_attention",
        "mask_ratio": 0.6,
        "all_windows": False,
        "epochs": 200,
        "patience": 20,
        "monitor_protocol": "uni100",
        "adapter_init": "random",
        "alignment_loss": "inner_product",
        "alignment_weight": 0.01,
        "alignment_temperature": 2.0,
    },
}
"""Named starting points for :class:`RunConfig`; ``paper`` is LLM-ESR's published setting and LLMEmb's alignment; with
BERT4Rec there is a difference: half of the rows mask the newest item alone."""


def preset(name: str, backbone: str) -> dict[str, Any]:
    """The values of a preset. UserError when there is none of that name."""
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}; known: {', '.join(PRESETS)}.")
    values = dict(PRESETS[name])
    if name == "paper" and backbone == "gru4rec":
        values["targets"] = "last"  # the paper trains GRU4Rec on the newest item only
    return values
