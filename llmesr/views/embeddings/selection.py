"""Which points are selected, and in which chart they must be drawn as such.

A selection made in a chart cannot be set in another one, so the other shows it as a trace of its own. Changing a
figure makes the browser build the chart anew and forget what was selected and zoomed in it: the chart a selection
came from is therefore left as it is, and only drawn anew when something else about it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_CHUNK = 4096


def rows_of(event: Mapping[str, Any] | None, xy: np.ndarray) -> np.ndarray:
    """The rows selected by an event of ``st.plotly_chart`` on points at ``xy`` (n, 2), rising.

    A lasso or box is applied to ALL points, also to those that were not drawn; clicked points are known by their
    customdata, the row number.
    """
    selection = _selection(event)
    inside = np.zeros(len(xy), bool)
    for lasso in selection.get("lasso") or []:
        inside |= in_polygon(xy, np.asarray(lasso["x"], float), np.asarray(lasso["y"], float))
    for box in selection.get("box") or []:
        (x0, x1), (y0, y1) = sorted(map(float, box["x"])), sorted(map(float, box["y"]))
        inside |= (xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)
    if selection.get("lasso") or selection.get("box"):
        return np.flatnonzero(inside)
    rows = [row for point in selection.get("points") or [] if (row := _row(point.get("customdata"))) is not None]
    return np.unique(np.asarray([r for r in rows if 0 <= r < len(xy)], dtype=np.int64))


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
    parts = {key: selection.get(key) for key in ("points", "box", "lasso") if selection.get(key)}
    return hashlib.sha1(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest() if parts else ""


@dataclass
class Linked:
    """The selection of a visitor, kept between reruns."""

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    source: str = ""
    """``left``, ``right``, something else that was searched for, or empty."""
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
                self.rows, self.source = rows_of(event, xy[chart]), chart
            elif self.source == chart and chart not in self._anew:
                self.clear()
        self._anew.clear()

    def choose(self, rows: np.ndarray, source: str) -> None:
        """Select from elsewhere: a search, a link, a table."""
        self.rows, self.source = np.asarray(rows, dtype=np.int64), source

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
