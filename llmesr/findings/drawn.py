"""A chart as JSON has it: what a finding keeps of it, and nothing that belongs to the page it was drawn on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd


class Drawn(Protocol):
    """A plotly figure."""

    def to_plotly_json(self) -> dict[str, Any]: ...


def plain(value: Any) -> Any:
    """``value`` as JSON has it: arrays as lists, what is no number or has no value as null."""
    if isinstance(value, Mapping):
        if {"bdata", "dtype"} <= set(value):  # how plotly writes arrays
            return plain(_array(value))
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if value is pd.NaT or value is pd.NA else str(value)


def _array(value: Mapping[str, Any]) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]).newbyteorder("<"))
    shape = str(value.get("shape", "")).split(",")
    return flat.reshape([int(n) for n in shape]) if shape != [""] else flat


def document(figure: Drawn) -> dict[str, Any]:
    """A figure without its template."""
    made = plain(figure.to_plotly_json())
    layout = {k: v for k, v in made.get("layout", {}).items() if k != "template"}  # that of the page it is shown on
    return {"data": made.get("data", []), "layout": layout}
