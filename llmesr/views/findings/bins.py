"""Points coloured by a number as a few series, one for each part of the colour bar, as PowerPoint can draw them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmesr.views.findings.traces import Figure, title_of

ENOUGH = 4
"""Bins; fewer ticks than that are halved, where they stand at even distances."""
_NUMBER = re.compile(r"-?[\d.,]+")
Edge = tuple[float, str]


def by_bin(trace: Figure) -> list[Figure]:
    """The trace itself or, where its points are coloured by a number, one trace per bin that holds any, named by it."""
    marker = trace.get("marker") or {}
    colors, scale = marker.get("color"), _scale(marker.get("colorscale"))
    if not isinstance(colors, list) or not scale:
        return [trace]
    values = np.array([v if isinstance(v, (int, float)) else np.nan for v in colors], float)
    known = values[np.isfinite(values)]
    if not len(known):
        return [trace]
    low, high = float(marker.get("cmin", known.min())), float(marker.get("cmax", known.max()))
    bar = marker.get("colorbar") or {}
    edges = _edges(bar, low, high)
    inner = [at for at, _ in edges[1:-1]]
    bins = np.where(np.isfinite(values), np.searchsorted(inner, values, side="right"), -1)
    title, made = title_of(bar), []
    for number in range(len(edges) - 1):
        rows = np.flatnonzero(bins == number)
        if len(rows):
            (a, first), (b, last) = edges[number : number + 2]
            name = _name(title, first if number else "", "" if number == len(edges) - 2 else last, edges)
            made.append(_part(trace, rows, name, _color(scale, ((a + b) / 2 - low) / max(high - low, 1e-12))))
    return made


def _scale(given: Any) -> list[tuple[float, str]]:
    """Places from 0 to 1 with colours ``#rrggbb``, as the app draws them; empty for any other scale."""
    pairs = [s for s in given if isinstance(s, list) and len(s) == 2] if isinstance(given, list) else []
    known = [(float(at), str(color)) for at, color in pairs if re.fullmatch("#[0-9a-fA-F]{6}", str(color))]
    return known if len(known) > 1 else []


def _edges(bar: Figure, low: float, high: float) -> list[Edge]:
    """Where bins begin and end, with what stands there: the ticks of the bar between its ends, which have no words."""
    given = zip(bar.get("tickvals") or [], bar.get("ticktext") or [], strict=False)
    told = [(float(at), str(text)) for at, text in given if isinstance(at, (int, float)) and low <= at <= high]
    numbers = [_NUMBER.match(text) for _, text in told]
    even = all(n and float(n[0].replace(",", "")) == at for n, (at, _) in zip(numbers, told, strict=True))
    places = sorted({low, high, *(at for at, _ in told)}) if even else []
    while even and len(places) - 1 < ENOUGH:
        places = sorted({*places, *((a + b) / 2 for a, b in itertools.pairwise(places))})
    if even:
        return [(at, f"{at:.3g}") for at in places]
    return [(low, ""), *((at, text) for at, text in told if low < at < high), (high, "")]


def _name(title: str, first: str, last: str, edges: Sequence[Edge]) -> str:
    """What a bin is called; ``first`` and ``last`` are empty at the ends of the bar."""
    if first and last:
        said = f"{first} to {last}"
    elif last:
        said = f"below {last}"
    else:
        said = f"{first} or more" if first else f"up to {edges[-1][1]}" if edges[-1][1] else "all"
    return f"{title} {said}".strip()


def _part(trace: Figure, rows: np.ndarray, name: str, color: str) -> Figure:
    axes = {letter: [trace[letter][row] for row in rows.tolist() if row < len(trace[letter])] for letter in "xy"}
    return {**trace, **axes, "name": name, "marker": {"color": color}}


def _color(scale: Sequence[tuple[float, str]], at: float) -> str:
    """The colour of a scale at a place between 0 and 1."""
    places = [place for place, _ in scale]
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for _, color in scale], float)
    mixed = [round(float(np.interp(at, places, channel))) for channel in colors.T]
    return "#" + "".join(f"{value:02x}" for value in mixed)
