"""The space of a search: which settings are varied, and between what. Checked before anything is trained."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import TypeAdapter, ValidationError

from llmesr.config import UNTRAINED, Config, RunConfig, idle_settings, method_named, read_yaml, reads
from llmesr.errors import UserError

DEFAULT_SPACE: dict[str, Any] = {
    "learning_rate": {"low": 3e-4, "high": 5e-3, "log": True},
    "dropout": {"low": 0.1, "high": 0.6},
    "embedding_size": [32, 64, 128],
    "layers": [1, 2, 3],
    "batch_size": [64, 128, 256],
    "weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
    "fusion": ["none", "residual"],
    "adapter_layers": [1, 2],
    "distillation_weight": {"low": 0.01, "high": 1.0, "log": True},
    "alignment_weight": {"low": 0.03, "high": 3.0, "log": True},
    "ridge": {"low": 2.0, "high": 500.0, "log": True},
    "text_weight": {"low": 1.0, "high": 30.0, "log": True},
    "kernel_power": [1.0, 2.0, 3.0],
    "decay": [0.6, 0.7, 0.8, 0.9, 1.0],
    "item_neighbours": [64, 128, 256],
    "shrinkage": {"low": 0.5, "high": 100.0, "log": True},
    "window": [1, 3, 5, 10],
    "reverse_weight": [0.0, 0.5, 1.0],
    "confidence": {"low": 2.0, "high": 60.0, "log": True},
}
"""What is worth trying; of it a search keeps the settings its method reads and nobody has fixed."""
DECIDED = ("epochs", "seed", "monitor", "monitor_group", "monitor_protocol")
"""Settings of a trial that follow from the search's own."""


class Range(Config):
    """Every value from ``low`` to ``high``; with ``log`` each order of magnitude is as likely as the next."""

    low: float
    high: float
    log: bool = False


def read_space(file: Path) -> dict[str, Any]:
    """A space written as YAML: setting -> list of choices, or low, high and log."""
    loaded = read_yaml(file, "the space")
    if not isinstance(loaded, Mapping) or not loaded:
        raise UserError(f"The space {file} must name settings, each with a list of choices or with low and high.")
    return {str(name): given for name, given in loaded.items()}


def default_space(method: str, backbone: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Of the usual settings those that do something in the method and that ``fixed`` leaves open."""
    idle = idle_settings(fixed, DEFAULT_SPACE)
    return {n: v for n, v in DEFAULT_SPACE.items() if reads(n, method, backbone) and n not in {*fixed, *idle}}


def distributions(space: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """``space`` as optuna draws from it, for the method and backbone in ``fixed``.

    UserError naming the setting that is unknown, fixed, not read by the method, or has values it cannot take.
    """
    method, backbone = str(fixed["method"]), str(fixed["backbone"])
    if method in UNTRAINED:
        raise UserError(f"Method {method!r} is not trained, so it has no settings to search.")
    found = {}
    for name, given in space.items():
        if name not in RunConfig.model_fields:
            raise UserError(f"Unknown setting {name!r} in the space. Known: {', '.join(DEFAULT_SPACE)} and others.")
        if name in ("method", "backbone", "views", *DECIDED):
            raise UserError(f"Setting {name!r} is the same in all trials of a search; take it out of the space.")
        if name in fixed:
            raise UserError(f"Setting {name!r} is both fixed and in the space; leave one out.")
        if not reads(name, method, backbone):
            named = method_named(method, backbone)
            raise UserError(f"Method {named} does not read {name!r}; take it out of the space.")
        found[name] = _distribution(name, given)
    if not found:
        raise UserError("Every setting of the space is fixed: there is nothing to search.")
    return found


def _distribution(name: str, given: Any) -> BaseDistribution:
    if isinstance(given, Mapping):
        return _range(name, given)
    if isinstance(given, Sequence) and not isinstance(given, str) and given:
        return CategoricalDistribution([_value(name, v) for v in given])
    raise UserError(f"Setting {name!r} in the space needs a list of choices, or low and high, not {given!r}.")


def _range(name: str, given: Mapping[str, Any]) -> BaseDistribution:
    try:
        bounds = Range.read(None, **given)
    except UserError as error:
        raise UserError(f"The range of {name!r} in the space is not valid. {error}") from None
    if not bounds.low < bounds.high:
        raise UserError(f"The range of {name!r} in the space needs low below high, not {bounds.low} and {bounds.high}.")
    if bounds.log and bounds.low <= 0:
        raise UserError(f"The range of {name!r} in the space starts at {bounds.low}; with log it must be above 0.")
    kind = _kind(name)
    if kind not in (int, float):
        raise UserError(f"Setting {name!r} is not a number: give the space a list of its choices.")
    low, high = _value(name, given["low"]), _value(name, given["high"])
    return (IntDistribution if kind is int else FloatDistribution)(low, high, log=bounds.log)


def _value(name: str, value: Any) -> Any:
    """``value`` as the setting takes it, whatever YAML made of it."""
    if isinstance(value, bool) and _kind(name) is not bool:
        value = "on" if value else "off"  # YAML's reading of two of our words
    field = RunConfig.model_fields[name]
    try:
        return TypeAdapter(Annotated[field.annotation, field]).validate_python(value)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UserError(f"Setting {name!r} cannot be {value!r}: {error.errors()[0]['msg']}.") from None


def _kind(name: str) -> Any:
    annotation = RunConfig.model_fields[name].annotation
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    return str if get_origin(annotation) is Literal else annotation
