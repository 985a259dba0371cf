"""Maps as figures. Points carry only their row number; a selection is a trace of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from llmesr.maps.points import Pair, Points, Side
from llmesr.maps.quality import CHANCE
from llmesr.maps.regions import Region
from llmesr.views.embeddings import names
from llmesr.views.embeddings.colouring import OTHER, UNKNOWN, Colouring, hover_texts
from llmesr.views.shared import theme
from llmesr.views.shared.marks import Sampled, sampled
from llmesr.views.shared.theme import Mode

Ranges = tuple[tuple[float, float], tuple[float, float]]
DRAW_ALL_UP_TO = 25_000
FEW = 3_000
"""Up to so many points stand out one by one; of more, what lies on one another is to be seen through."""
ALONE = 3
"""Up to so many points in the nine places around one, itself included, it stands nearly alone."""
FADED = 0.2
"""Opacity of what is not selected."""
SAMPLE = 10_000
"""Points drawn one by one where there are more: what a lasso lights up in the other map is seen within two seconds."""
MARKED = 5_000
"""Selected points that are marked in the other map; their hover texts are those of the points beneath."""
HEIGHT = 500
_TEXT_BUDGET = 2_000_000  # characters of hover text in one figure
_BINS = 160
_TOLD = 1000  # selected points that say what they are themselves
SELECTED = "selected"
"""The trace of the selected."""
BENEATH = (OTHER, *UNKNOWN)
"""Names of groups that are drawn first and smaller."""


def drawn_rows(points: Points, seed: int = 0) -> np.ndarray:
    """The rows that are drawn one by one: all up to ``DRAW_ALL_UP_TO``, else ``SAMPLE`` at random; the selected ones
    are drawn again on top."""
    n = len(points)
    if n <= DRAW_ALL_UP_TO:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))


def marked(selected: np.ndarray) -> np.ndarray:
    """The selected rows that are drawn as such: all, or of many an even sample."""
    if len(selected) <= MARKED:
        return selected
    return selected[np.linspace(0, len(selected) - 1, MARKED).astype(np.int64)]


def sampling_note(points: Points, rows: np.ndarray, selected: int = 0) -> str:
    """What is left out, in a sentence; empty when everything is drawn."""
    some = f" Of the {selected:,} selected, {MARKED:,} are marked." if selected > MARKED else ""
    if len(rows) == len(points):
        return some.strip()
    return (
        f"{len(rows):,} of {len(points):,} {points.of} are drawn one by one, at random, and whatever is selected. The "
        f"shading shows where all of them are; a lasso or box takes all it surrounds, drawn or not.{some}"
    )


@functools.lru_cache(maxsize=4)
def extent(pair: Pair) -> Ranges:
    """The ranges of x and y that hold both maps, so that places can be compared; the same at every selection."""
    both = np.concatenate([pair.left.xy, pair.right.xy])
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return (-1, 1), (-1, 1)
    low, high = both.min(axis=0), both.max(axis=0)
    room = 0.04 * np.maximum(high - low, 1e-6)
    x, y = ((float(a), float(b)) for a, b in zip(low - room, high + room, strict=True))
    return x, y


def map_figure(
    points: Points,
    side: Side,
    colouring: Colouring,
    *,
    selected: np.ndarray,
    ranges: Ranges,
    mode: Mode,
    legend: bool = True,
    named: Sequence[Sequence[Region]] = (),
) -> go.Figure:
    """One map. ``selected`` rows are drawn again on top and the others fade; ``named`` regions carry their words, those
    of the first list in the whole picture, the others as one looks closer."""
    rows = drawn_rows(points)
    rows = rows[np.isfinite(side.xy[rows]).all(axis=1)]
    size = _size(len(rows))
    opacity = _opacity(side, rows, ranges) if not len(selected) else np.full(len(points), FADED, np.float32)
    figure = go.Figure()
    if len(points) > DRAW_ALL_UP_TO:
        figure.add_trace(_density(side, ranges, mode))
    longest = int(np.clip(_TEXT_BUDGET // max(len(rows), 1), 24, 80))
    if colouring.values is not None:
        shown = rows[np.isfinite(colouring.values[rows])]
        marker = _scale(colouring, shown, mode) | {"size": size, "opacity": opacity[shown], "line": {"width": 0}}
        figure.add_trace(_trace(points, side, shown, longest, marker, ""))
    else:
        codes = colouring.codes if colouring.codes is not None else np.zeros(len(points), int)
        for code, name in _beneath_first(colouring.names):
            part = rows[codes[rows] == code]
            marker = {
                "size": size * (0.7 if name in BENEATH else 1),
                "opacity": opacity[part],
                "color": colouring.colours[code],
                "symbol": colouring.symbols[code],
                "line": {"width": 0},
            }
            trace = _trace(points, side, part, longest, marker, name)
            figure.add_trace(trace.update(showlegend=legend, legendrank=1000 + code))
    _add_selected(figure, points, side, selected, size, mode, legend)
    blank = {"visible": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(range=ranges[0], **blank)
    figure.update_yaxes(range=ranges[1], scaleanchor="x", **blank)
    theme.finish(figure, mode, height=HEIGHT)
    lines = {"linecolor": theme.SURFACE[mode]["border"], "showline": True, "mirror": True}
    figure.update_xaxes(visible=True, showticklabels=False, ticks="", **lines)
    figure.update_yaxes(visible=True, showticklabels=False, ticks="", **lines)
    below = {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top"}  # above stand the tools
    if colouring.values is not None:
        below |= {"x": 1, "xanchor": "right"}  # at the left stands the colour bar
    margin = {"l": 4, "r": 4, "t": 32, "b": 64}
    figure.update_layout(dragmode="lasso", margin=margin, hoverdistance=12, legend=below)
    meta = sampled(Sampled(points.of, len(points), SELECTED, len(selected))) | names.closer(named, ranges, mode)
    return figure.update_layout(meta=meta, annotations=names.whole(named[0] if named else (), ranges, mode))


def _beneath_first(names: Sequence[str]) -> list[tuple[int, str]]:
    """Codes and names in the order of drawing: what the others are to be seen against comes first."""
    return sorted(enumerate(names), key=lambda pair: pair[1] not in BENEATH)


def _trace(
    points: Points, side: Side, rows: np.ndarray, longest: int, marker: dict[str, Any], name: str
) -> go.Scattergl:
    return go.Scattergl(
        x=side.xy[rows, 0],
        y=side.xy[rows, 1],
        mode="markers",
        name=name,
        showlegend=False,
        marker=marker,
        customdata=rows.astype(np.int32),
        text=hover_texts(points, rows, longest),
        hovertemplate=f"%{{text}}<extra>{name}</extra>",
        unselected={"marker": {"opacity": 0.15}},
    )


def _add_selected(
    figure: go.Figure, points: Points, side: Side, selected: np.ndarray, size: float, mode: Mode, legend: bool
) -> None:
    rows = marked(selected)
    rows = rows[np.isfinite(side.xy[rows]).all(axis=1)] if len(rows) else rows
    if not len(rows):
        return
    marker = {
        "size": size + (7 if len(rows) == 1 else 3 if len(rows) <= 100 else 1),
        "color": theme.SEMANTIC[mode]["highlight"],
        "line": {"width": 1 if len(rows) <= 100 else 0.5, "color": theme.SURFACE[mode]["background"]},
        "opacity": 1,
    }
    if len(rows) <= _TOLD:
        trace = _trace(points, side, rows, 80, marker, SELECTED)
    else:
        xy = side.xy[rows]
        trace = go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers", name=SELECTED, marker=marker, hoverinfo="skip")
    figure.add_trace(trace.update(showlegend=legend))


def _scale(colouring: Colouring, rows: np.ndarray, mode: Mode) -> dict[str, Any]:
    assert colouring.values is not None
    values = colouring.values[rows]
    low = float(values.min()) if len(values) else 0.0
    high = max(float(values.max()) if len(values) else 1.0, low + 1e-9)
    if colouring.title == "Gap":
        low, high = 0.0, CHANCE
    ticks, labels = colouring.ticks or ((), ())
    kept = [(t, s) for t, s in zip(ticks, labels, strict=True) if low <= t <= high]
    bar = {
        "title": {"text": colouring.title, "side": "top"},
        "orientation": "h",
        "thickness": 10,
        "len": 0.55,
        "x": 0.05,
        "xanchor": "left",
        "y": -0.02,
        "yanchor": "top",
        "tickvals": [t for t, _ in kept],
        "ticktext": [s for _, s in kept],
        "outlinewidth": 0,
    }
    return {"color": values, "colorscale": theme.POINT_SCALE[mode], "cmin": low, "cmax": high, "colorbar": bar}


def _opacity(side: Side, rows: np.ndarray, ranges: Ranges) -> np.ndarray:
    """(n,) of those that are drawn: a point that stands nearly alone is solid, so that it has the contrast of its
    colour; where many lie on one another, they are to be seen through."""
    crowded = 0.85 if len(rows) <= FEW else 0.65
    x, y = side.xy[rows].T
    counts, across, up = np.histogram2d(x, y, bins=_BINS, range=ranges)
    wide = np.pad(counts, 1)
    near = sum((wide[i : i + _BINS, j : j + _BINS] for i in range(3) for j in range(3)), np.zeros_like(counts))
    column, line = (
        np.clip(np.searchsorted(edges, at, side="right") - 1, 0, _BINS - 1) for edges, at in ((across, x), (up, y))
    )
    found = np.ones(len(side.xy), np.float32)
    found[rows] = np.where(near[column, line] <= ALONE, 1, crowded)
    return found


def _size(n: int) -> float:
    """Marker diameter in pixels: the more points, the smaller."""
    return float(np.interp(np.log10(max(n, 1)), [2, 3, 4, 5], [10, 8, 5, 3]))


@functools.lru_cache(maxsize=8)
def _counted(side: Side, ranges: Ranges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points by place, and the edges of the places: the same at every selection."""
    there = side.xy[np.isfinite(side.xy).all(axis=1)]
    return np.histogram2d(there[:, 0], there[:, 1], bins=_BINS, range=ranges)


def _density(side: Side, ranges: Ranges, mode: Mode) -> go.Heatmap:
    counts, x, y = _counted(side, ranges)
    color = theme.SURFACE[mode]["muted"]
    return go.Heatmap(
        x=(x[:-1] + x[1:]) / 2,
        y=(y[:-1] + y[1:]) / 2,
        z=np.log1p(counts).T.astype(np.float32),
        colorscale=[[0, theme.translucent(color, 0)], [1, theme.translucent(color, 0.65)]],
        showscale=False,
        hoverinfo="skip",
    )


def describe(points: Points, side: Side, colouring: Colouring, selected: int) -> str:
    """What one map shows, in words, for those who cannot see it."""
    placed = int(np.isfinite(side.xy).all(axis=1).sum())
    chosen = f" {selected:,} are selected." if selected else ""
    return (
        f"Map of {placed:,} {points.of} in the space {side.space.label}, coloured by {colouring.title.lower()}. "
        f"Close points are similar.{chosen} The table below lists the selected ones."
    )
