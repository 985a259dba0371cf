"""What the lab found as JSON can hold it: what the command line prints and scripts keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.lab.edit import Edited, Moved
from llmesr.lab.launch import Launched
from llmesr.lab.past import Past
from llmesr.lab.repair import Repairs


def of_launch(found: Launched, past: Past | None = None) -> dict[str, Any]:
    """A new product: reach, ranks, users, parts, neighbours, place, and the forecast where there is one."""
    forecast = None if past is None else past.forecast(found.ranks)
    place = found.place
    return {
        "item_id": found.item_id,
        "title": found.title,
        "text": found.text,
        "k": found.k,
        "users": len(found.audience),
        "owners": found.owners,
        "reach": found.reach,
        "median_rank": number(found.median_rank),
        "best": rows(found.users),
        "parts": found.parts,
        "nearest": rows(found.nearest),
        "place": None if place is None else {"map": place.map_id, "x": place.x, "y": place.y, "spread": place.spread},
        "hits_per_1000": None if forecast is None else {name: number(v) for name, v in vars(forecast).items()},
        "no_forecast": None if past is None else past.lacking,
    }


def of_past(past: Past) -> dict[str, Any]:
    """The calibration of a run by past launches."""
    factor, low, high = past.factor
    total = past.launches[["reach", "expected", "hits", "chosen"]].sum()
    return {
        "run": past.run,
        "method": past.label,
        "split": past.split,
        "users": past.users,
        "k": past.k,
        "launches": len(past.launches),
        **{name: number(value) for name, value in total.items()},
        "factor": number(factor),
        "low": number(low),
        "high": number(high),
        "lacking": past.lacking,
        "rows": rows(past.table),
    }


def of_edit(found: Edited, dataset: Dataset) -> dict[str, Any]:
    """An edited text: places gained and lost, and how the held-out users would see it."""
    return {
        "text_before": found.text_before,
        "text_after": found.text_after,
        "k": found.everyone.k,
        "everyone": _moved(found.everyone),
        "validation": _moved(found.targets),
        "moved": rows(found.moved_users(dataset)),
        "nearest_before": rows(found.nearest_before),
        "nearest_after": rows(found.nearest_after),
    }


def of_repairs(found: Repairs) -> dict[str, Any]:
    """The flawed texts in the order in which to repair them, and what a good text was measured to bring."""
    gains = [{name: number(value) for name, value in vars(gain).items()} for gain in found.gains]
    return {"run": found.run, "k": found.k, "gains": gains, "texts": rows(found.texts)}


def _moved(moved: Moved) -> dict[str, Any]:
    return {
        "users": int(moved.candidates.sum()),
        "gained": int(moved.gained.sum()),
        "lost": int(moved.lost.sum()),
        "reach_before": moved.reach("before"),
        "reach_after": moved.reach("after"),
        "median_before": number(moved.median("before")),
        "median_after": number(moved.median("after")),
    }


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, with null for what is not a number."""
    return [{str(name): number(value) for name, value in row.items()} for row in frame.to_dict("records")]


def number(value: Any) -> Any:
    """``value`` as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
