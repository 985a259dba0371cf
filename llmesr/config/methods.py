"""The methods and backbones by name, and which settings each of them reads."""

from __future__ import annotations

from typing import Literal

MethodName = Literal[
    "popularity", "semantic-knn", "item-knn", "markov", "ease", "text-ease", "ials",
    "id", "llm-init", "adapter", "llm-esr", "llmemb", "codes", "language",
    "generative",
]  # fmt: skip
BackboneName = Literal["sasrec", "bert4rec", "gru4rec"]
EXTERNAL = "external"
"""The method of a run that is only the evaluation of a ranking made elsewhere: nothing trains or loads it."""
BLEND = "blend"
"""The method of a run that is the sum of others: made by `llmesr blend`, nothing trains it."""
BLEND_EMPHASIS = 0.5
"""How much more a user whose target is a tail item counts in the fit of a blend, as a rule: 1 + this."""
UNTRAINED: tuple[str, ...] = ("popularity", "semantic-knn", EXTERNAL, BLEND)
NEEDS_TEXT: tuple[str, ...] = (
    "semantic-knn",
    "text-ease",
    "llm-init",
    "adapter",
    "llm-esr",
    "llmemb",
    "codes",
    "language",
    "generative",
)
"""Methods that read item text, unless settings of theirs say otherwise."""
LINEAR: tuple[str, ...] = ("item-knn", "markov", "ease", "text-ease", "ials")
"""Fitted in closed form (iALS in a few sweeps): a stored model, but no backbone, no epochs, no curves."""
WORDS = "words"
"""Among the further views of text-ease: the words of the item texts."""

_TEXT_METHODS = ("adapter", "llm-esr", "llmemb")
_STARTED = ("id", "llm-init", "llm-esr", "llmemb")
_RIDGE = ("ease", "text-ease")
_COUNTED = ("item-knn", "markov")
OWN_ENCODER: tuple[str, ...] = ("language",)
"""Methods whose encoder is part of them: they have no choice of backbone."""
_OF_BACKBONES = ("backbone", "layers", "heads", "causal", "positions", "mask_ratio")
_OF_SCORES = (
    *("loss", "negatives", "popular_negatives", "calibration", "base"),
    *("teacher", "teacher_weight", "teacher_items", "teacher_popularity", "ranking"),
)
"""What methods read whose scores are products of vectors."""
_READING = (
    "language_model", "history_input", "item_tokens", "attention", "prefix", "prefix_tokens", "experts",
    "balance_weight", "inject", "collaborative_run", "lora_rank", "refresh_epochs", "temperature",
)  # fmt: skip
READ_ONLY_BY: dict[str, tuple[str, ...]] = {
    "collaborative_view": ("llm-esr",),
    "semantic_view": ("llm-esr",),
    "fusion": ("llm-esr",),
    "shared_encoder": ("llm-esr",),
    "distillation": ("llm-esr",),
    "distillation_weight": ("llm-esr",),
    "neighbours": ("llm-esr",),
    "neighbour_recall": ("llm-esr",),
    "teacher_refresh": ("llm-esr",),
    "item_init": ("llm-init", "llm-esr", "codes", "generative"),
    "codebooks": ("codes", "generative"),
    "codebook_size": ("codes", "generative"),
    "quantisation": ("codes",),
    "graph_steps": _STARTED,
    "item_updates": _STARTED,
    "graph_weight": _STARTED,
    "adapter_layers": _TEXT_METHODS,
    "adapter_init": _TEXT_METHODS,
    "views": ("text-ease", "adapter", "llm-esr"),
    "freeze_text": _TEXT_METHODS,
    "text_table": _TEXT_METHODS,
    "alignment_loss": ("llmemb",),
    "alignment_weight": ("llmemb",),
    "alignment_temperature": ("llmemb",),
    "alignment_run": ("llmemb",),
    "adapter": ("llmemb",),
    **dict.fromkeys(("beam", "exhaustive_up_to", "refresh_codes"), ("generative",)),
    **dict.fromkeys(_READING, ("language",)),
    **dict.fromkeys(("compared", "whitening", "pooling"), ("semantic-knn",)),
    "decay": (*LINEAR, "semantic-knn"),
    "item_neighbours": (*_COUNTED, *_RIDGE),
    "shrinkage": _COUNTED,
    "window": ("markov",),
    "reverse_weight": ("markov",),
    "ridge": (*_RIDGE, "ials"),
    "solver": _RIDGE,
    "dense_up_to": _RIDGE,
    "text_weight": ("text-ease",),
    "view_weight": ("text-ease",),
    "kernel_power": ("text-ease",),
    "fallback": (*_COUNTED, *_RIDGE),
    "confidence": ("ials",),
    "sweeps": ("ials",),
}
"""Settings that only some methods read; the others are read by every method with a backbone."""
MADE_FOR_IT: tuple[str, ...] = ("alignment_run", "collaborative_run")
"""Settings that name a run which training makes where none is given: another one for each seed."""
_SHARED: dict[str, tuple[str, ...]] = {"max_length": LINEAR, "embedding_size": ("ials",), "seed": ("ials",)}
"""Of those others, the ones that a linear method reads."""


def has_backbone(method: str) -> bool:
    """Whether a method trains a sequence encoder by gradient steps: epochs, seeds and curves go with it."""
    return method not in UNTRAINED and method not in LINEAR


def named_with_backbone(method: str) -> bool:
    """Whether a method goes with one of several backbones, which its name then says."""
    return has_backbone(method) and method not in OWN_ENCODER


def method_named(method: str, backbone: str) -> str:
    """A method as errors name it: with its backbone where it goes with one."""
    return f"{method!r} with {backbone!r}" if named_with_backbone(method) else repr(method)


def reads(setting: str, method: str, backbone: str) -> bool:
    """Whether a method with a backbone looks at a setting: what forms show and ``--set`` accepts."""
    if setting == "method":
        return True
    if method in LINEAR:
        return method in READ_ONLY_BY.get(setting, _SHARED.get(setting, ()))
    if setting == "seed":
        return True
    if method in UNTRAINED:
        return setting == "max_length" or method in READ_ONLY_BY.get(setting, ())
    if method == "generative" and setting in _OF_SCORES:
        return False
    if method in OWN_ENCODER and setting in _OF_BACKBONES:
        return False
    if backbone == "gru4rec" and setting in ("heads", "causal", "positions"):
        return False
    if setting == "causal":
        return backbone == "sasrec"
    if setting == "mask_ratio":
        return backbone == "bert4rec"
    return method in READ_ONLY_BY.get(setting, (method,))
