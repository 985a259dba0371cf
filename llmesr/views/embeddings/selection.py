"""Which points are selected, and in which chart they must be drawn as such.

A selection made in a chart cannot be set in another one, so the other shows it as a trace of its own. Changing a
figure makes the browser build the chart anew and forget what was selected and zoomed in it: the chart a selection
came from is therefore left as it is, and only drawn anew when something else about it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_CHUNK = 4096
CORNERS = 80
"""Corners of a lasso that are kept, evenly: a link holds them."""


def rows_of(event: Mapping[str, Any] | None, xy: np.ndarray) -> np.ndarray:
    """The rows selected by an event of ``st.plotly_chart`` on points at ``xy`` (n, 2), rising.

    A lasso or box is applied to ALL points, also to those that were not drawn, as a link would write it; clicked points
    are known by their customdata, the row number.
    """
    if areas := areas_of(event):
        return within(areas, xy)
    selection = _selection(event)
    rows = [row for point in selection.get("points") or [] if (row := _row(point.get("customdata"))) is not None]
    return np.unique(np.asarray([r for r in rows if 0 <= r < len(xy)], dtype=np.int64))


def areas_of(event: Mapping[str, Any] | None) -> list[str]:
    """The lassos and boxes of an event as a link writes them: ``x,y,x,y,...`` to four digits, corner by corner."""
    selection = _selection(event)
    shapes = [(lasso["x"], lasso["y"]) for lasso in selection.get("lasso") or []]
    for box in selection.get("box") or []:
        (x0, x1), (y0, y1) = box["x"], box["y"]
        shapes.append(([x0, x1, x1, x0], [y0, y0, y1, y1]))
    written = []
    for x, y in shapes:
        corners = np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1)
        kept = np.unique(np.linspace(0, len(corners) - 1, min(CORNERS, len(corners))).astype(int))
        written.append(",".join(f"{value:.4g}" for value in corners[kept].ravel()))
    return written


def within(areas: Sequence[str], xy: np.ndarray) -> np.ndarray:
    """The rows of ``xy`` (n, 2) inside any of ``areas`` (see :func:`areas_of`), rising; what is none holds nothing."""
    inside = np.zeros(len(xy), bool)
    for area in areas:
        try:
            numbers = np.array([float(number) for number in area.split(",")])
        except ValueError:  # a link may hold anything
            continue
        if len(numbers) % 2 == 0 and np.isfinite(numbers).all():
            inside |= in_polygon(xy, numbers[::2], numbers[1::2])
    return np.flatnonzero(inside)


def _selection(event: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (event or {}).get("selection") or {}


def _row(customdata: Any) -> int | None:
    """The row number, however the browser wraps it."""
    if isinstance(customdata, Mapping):
        customdata = next(iter(customdata.values()), None)
    if isinstance(customdata, (list, tuple)):
        customdata = customdata[0] if customdata else None
    return None if customdata is None else int(customdata)


def in_polygon(xy: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) bool: which of ``xy`` (n, 2) lie inside the polygon with corners ``x``, ``y`` (m,), by the even-odd rule."""
    if len(x) < 3:
        return np.zeros(len(xy), bool)
    inside = np.zeros(len(xy), bool)
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    slope = np.divide(next_x - x, next_y - y, out=np.zeros_like(x), where=next_y != y)
    near = np.flatnonzero((xy[:, 0] >= x.min()) & (xy[:, 0] <= x.max()) & (xy[:, 1] >= y.min()) & (xy[:, 1] <= y.max()))
    for start in range(0, len(near), _CHUNK):
        rows = near[start : start + _CHUNK]
        px, py = xy[rows, :1], xy[rows, 1:]  # (c, 1)
        crosses = (y > py) != (next_y > py)  # (c, m)
        left = px < x + (py - y) * slope
        inside[rows] = (crosses & left).sum(axis=1) % 2 == 1
    return inside


def fingerprint(event: Mapping[str, Any] | None) -> str:
    """Changes when the selection of an event does; empty when nothing is selected."""
    selection = _selection(event)
    # Of a lasso the browser also lists every point inside: tens of thousands, and nothing new.
    areas = {key: selection.get(key) for key in ("box", "lasso") if selection.get(key)}
    parts = areas or [_row(point.get("customdata")) for point in selection.get("points") or []]
    return hashlib.sha1(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest() if parts else ""


@dataclass
class Linked:
    """The selection of a visitor, kept between reruns."""

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    source: str = ""
    """``left``, ``right``, something else that was searched for, or empty."""
    areas: list[str] = field(default_factory=list)
    """The lassos or boxes the rows came from, where they did (see :func:`areas_of`)."""
    _seen: dict[str, str] = field(default_factory=dict)  # chart -> event last understood
    _drawn: dict[str, tuple[Any, str]] = field(default_factory=dict)  # chart -> (what it showed, highlighted rows)
    _anew: set[str] = field(default_factory=set)  # charts built anew since: an empty event of theirs means nothing

    def read(self, events: Mapping[str, Mapping[str, Any] | None], xy: Mapping[str, np.ndarray]) -> None:
        """Take over what was selected or cleared in a chart since the last time."""
        for chart, event in events.items():
            now = fingerprint(event)
            if now == self._seen.get(chart, ""):
                continue
            self._seen[chart] = now
            if now:
                self.choose(rows_of(event, xy[chart]), chart, areas_of(event))
            elif self.source == chart and chart not in self._anew:
                self.clear()
        self._anew.clear()

    def choose(self, rows: np.ndarray, source: str, areas: Sequence[str] = ()) -> None:
        """Select, also from elsewhere: a search, a link, a table."""
        self.rows, self.source, self.areas = np.asarray(rows, dtype=np.int64), source, list(areas)

    def clear(self) -> None:
        self.choose(np.zeros(0, np.int64), "")

    def highlight(self, chart: str, showing: Any) -> np.ndarray:
        """The rows that ``chart`` must draw as selected; ``showing`` is whatever else decides its looks."""
        last_showing, last_rows = self._drawn.get(chart, (None, ""))
        untouched = chart == self.source and last_showing == showing and last_rows == ""
        rows = self.rows[:0] if untouched else self.rows
        mark = hashlib.sha1(rows.tobytes()).hexdigest() if len(rows) else ""
        if chart in self._drawn and (last_showing, last_rows) != (showing, mark):
            self._anew.add(chart)
        self._drawn[chart] = (showing, mark)
        return rows
