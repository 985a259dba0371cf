"""Forms made from a config's own schema: which widget each setting needs, its limits and its help text."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from llmesr.config import UNTRAINED, RunConfig, preset, reads

BASIC: tuple[str, ...] = (
    "epochs", "learning_rate", "embedding_size", "max_length", "dropout", "seed",
    "ridge", "text_weight", "decay", "item_neighbours", "shrinkage", "window",
)  # fmt: skip
"""Settings shown first; everything else waits under "advanced"."""
GROUPS: dict[str, tuple[str, ...]] = {
    "Model": ("layers", "heads", "causal", "positions", "mask_ratio"),
    "What is learned": ("loss", "negatives", "popular_negatives", "targets", "all_windows", "calibration"),
    "Text and behaviour": (
        "collaborative_view",
        "semantic_view",
        "views",
        "compared",
        "whitening",
        "pooling",
        "fusion",
        "shared_encoder",
        "adapter_layers",
        "adapter_init",
        "item_init",
        "graph_steps",
        "graph_weight",
        "codebooks",
        "codebook_size",
        "quantisation",
        "beam",
        "exhaustive_up_to",
        "refresh_codes",
        "freeze_text",
        "text_table",
        "adapter",
    ),
    "Text model": (
        "language_model",
        "history_input",
        "item_tokens",
        "attention",
        "prefix",
        "prefix_tokens",
        "experts",
        "balance_weight",
        "inject",
        "collaborative_run",
        "lora_rank",
        "refresh_epochs",
        "temperature",
    ),
    "Similar users": ("distillation", "distillation_weight", "neighbours", "neighbour_recall", "teacher_refresh"),
    "Alignment": ("alignment_loss", "alignment_weight", "alignment_temperature", "alignment_run"),
    "Learning from other runs": ("base", "teacher", "teacher_weight", "teacher_items", "teacher_popularity"),
    "Weights between items": (
        "reverse_weight",
        "kernel_power",
        "view_weight",
        "fallback",
        "solver",
        "dense_up_to",
        "confidence",
        "sweeps",
    ),
    "Optimisation and stopping": (
        "batch_size",
        "batches",
        "item_updates",
        "weight_decay",
        "patience",
        "evaluate_every",
        "validation_users",
        "ranking",
        "monitor",
        "monitor_group",
        "monitor_protocol",
        "precision",
    ),
}


@dataclass(frozen=True)
class Setting:
    """One field of a config as a form shows it. ``optional`` means that empty is a value of its own."""

    name: str
    kind: Literal["choice", "switch", "whole", "number", "text", "many"]
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    optional: bool = False

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def step(self) -> float:
        """How far one click moves a number: a tenth of its size, roughly."""
        if self.kind == "whole":
            return 1
        size = abs(float(self.default or 0)) or 0.1
        return 10.0 ** (len(f"{int(size)}") - 2) if size >= 1 else float(f"{size / 10:.0e}")


def setting(name: str, field: FieldInfo) -> Setting:
    """The form field of one config field."""
    annotation, optional = _without_none(field.annotation)
    limits = {type(m).__name__: m for m in field.metadata}
    low = next((getattr(limits[k], k.lower()) for k in ("Ge", "Gt") if k in limits), None)
    high = next((getattr(limits[k], k.lower()) for k in ("Le", "Lt") if k in limits), None)
    default = None if field.default is PydanticUndefined else field.default
    kind: Literal["choice", "switch", "whole", "number", "text", "many"] = "text"
    if get_origin(annotation) is Literal:
        kind = "choice"
    elif annotation is bool:
        kind = "choice" if optional else "switch"
    elif annotation is int:
        kind = "whole"
    elif annotation is float:
        kind = "number"
    elif get_origin(annotation) is list:
        kind = "many"
    choices = () if kind != "choice" else (None, True, False) if annotation is bool else get_args(annotation)
    return Setting(name, kind, default, field.description or "", choices, low, high, optional)


def settings(model: type[BaseModel]) -> dict[str, Setting]:
    """The form fields of a config, in its order."""
    return {name: setting(name, field) for name, field in model.model_fields.items()}


def shown(method: str, backbone: str) -> tuple[list[str], dict[str, list[str]]]:
    """Settings a method reads: the basic ones, and the advanced ones by group.

    A setting that nobody put into a group still appears, under "More".
    """
    known = [n for n in RunConfig.model_fields if n not in ("method", "backbone") and reads(n, method, backbone)]
    if method in UNTRAINED:  # nothing is drawn; where no other setting is read, histories do not count either
        known = [n for n in known if n != "seed"] if set(known) - {"seed", "max_length"} else []
    basic = [n for n in BASIC if n in known]
    grouped = {title: [n for n in names if n in known] for title, names in GROUPS.items()}
    placed = {*basic, *(n for names in grouped.values() for n in names)}
    grouped["More"] = [n for n in known if n not in placed]
    return basic, {title: names for title, names in grouped.items() if names}


def starting_values(method: str, backbone: str, preset_name: str) -> dict[str, Any]:
    """What each setting is before anybody touches it."""
    config = RunConfig.read(None, method=method, backbone=backbone, **preset(preset_name, backbone))
    return config.model_dump()


def changes(values: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their start: what ``--set`` has to say."""
    return {k: v for k, v in values.items() if v != start.get(k)}


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [a for a in get_args(annotation) if a is not type(None)]
        return str if str in rest else rest[0], len(rest) < len(get_args(annotation))
    return annotation, False


def setting_widget(setting: Setting, value: Any, key: str, *, linked: bool = False) -> Any:
    """The widget of one config field; empty stands for None where a field may be None. ``linked``: its value stands in
    the address as ``?key=``."""
    common: dict[str, Any] = {"help": setting.help or None, "key": key, "bind": "query-params" if linked else None}
    if setting.kind == "choice":
        said = {None: "automatic", True: "yes", False: "no"}.get
        if None in setting.choices:
            common["format_func"] = lambda choice: said(choice, choice)
        return st.selectbox(setting.label, setting.choices, setting.choices.index(value), **common)
    if setting.kind == "switch":
        return st.toggle(setting.label, value, **common)
    if setting.kind == "many":
        chosen = [v for v in value or [] if v in setting.choices]
        return st.multiselect(setting.label, setting.choices, chosen, **common) or None
    hint = "automatic" if setting.optional else None
    if setting.kind == "text":
        return st.text_input(setting.label, "" if value is None else str(value), placeholder=hint, **common) or (
            None if setting.optional else ""
        )
    kind: Any = int if setting.kind == "whole" else float
    limits = {n: kind(v) for n, v in (("min_value", setting.low), ("max_value", setting.high)) if v is not None}
    return st.number_input(
        setting.label,
        value=None if value is None else kind(value),
        step=kind(setting.step),
        format=None if kind is int else "%g",
        placeholder=hint,
        **limits,
        **common,
    )
