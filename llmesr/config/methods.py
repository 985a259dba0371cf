"""The methods and backbones by name, and which settings each of them reads."""

from __future__ import annotations

from typing import Literal

MethodName = Literal["popularity", "semantic-knn", "id", "llm-init", "adapter", "llm-esr", "llmemb"]
BackboneName = Literal["sasrec", "bert4rec", "gru4rec"]
EXTERNAL = "external"
"""The method of a run that is only the evaluation of a ranking made elsewhere: nothing trains or loads it."""
UNTRAINED: tuple[str, ...] = ("popularity", "semantic-knn", EXTERNAL)
NEEDS_TEXT: tuple[str, ...] = ("semantic-knn", "llm-init", "adapter", "llm-esr", "llmemb")
"""Methods that read item text."""

_TEXT_METHODS = ("adapter", "llm-esr", "llmemb")
READ_ONLY_BY: dict[str, tuple[str, ...]] = {
    "collaborative_view": ("llm-esr",),
    "semantic_view": ("llm-esr",),
    "fusion": ("llm-esr",),
    "shared_encoder": ("llm-esr",),
    "distillation": ("llm-esr",),
    "distillation_weight": ("llm-esr",),
    "neighbours": ("llm-esr",),
    "teacher_refresh": ("llm-esr",),
    "item_init": ("llm-init", "llm-esr"),
    "adapter_layers": _TEXT_METHODS,
    "adapter_init": _TEXT_METHODS,
    "views": ("adapter", "llm-esr"),
    "freeze_text": _TEXT_METHODS,
    "alignment_loss": ("llmemb",),
    "alignment_weight": ("llmemb",),
    "alignment_temperature": ("llmemb",),
    "alignment_run": ("llmemb",),
    "adapter": ("llmemb",),
}
"""Settings that only some methods read; the others are read by every trained method."""


def reads(setting: str, method: str, backbone: str) -> bool:
    """Whether a method with a backbone looks at a setting: what forms show and ``--set`` accepts."""
    if setting in ("method", "seed"):
        return True
    if method in UNTRAINED:
        return setting == "max_length"
    if backbone == "gru4rec" and setting in ("heads", "causal", "positions"):
        return False
    if setting == "causal":
        return backbone == "sasrec"
    if setting == "mask_ratio":
        return backbone == "bert4rec"
    return method in READ_ONLY_BY.get(setting, (method,))
