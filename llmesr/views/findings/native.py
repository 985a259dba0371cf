"""What a plotly figure shows as a chart that PowerPoint can draw itself: dots by category, bars, or points.

Only what can be said truly is: panels on scales of their own and pictures whose labels are drawn by hand are left to
the table beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from llmesr.views.findings.plane import Points, points_of
from llmesr.views.findings.traces import Figure, as_said, axis_of, look_of, named_places, text, title_of
from llmesr.views.shared.slide import Axis

MOST_BARS = 40


@dataclass(frozen=True)
class Dots:
    """``frame``: series, category, value, low, high, color, hollow. ``title``: what the chart is called where its
    values stand upright, if that is not its own title."""

    frame: pd.DataFrame
    colors: dict[str, str]
    axis: Axis
    joined: frozenset[str] = frozenset()
    title: str = ""


@dataclass(frozen=True)
class Bars:
    """The index names the bars, the columns are series."""

    frame: pd.DataFrame
    colors: dict[str, str]
    axis: str
    stacked: bool
    lying: bool
    number_format: str


@dataclass
class _Rows:
    """Dots as they are found, trace by trace."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    colors: dict[str, str] = field(default_factory=dict)


def native(figure: Figure) -> Dots | Bars | Points | None:
    """The chart behind a figure (plotly's JSON, drawn in light); None where no chart of PowerPoint shows the same."""
    traces = [t for t in figure["data"] if t.get("visible", True) is True and t.get("mode") != "text"]
    traces = [t for t in traces if not _beneath(t)]
    kinds = {t.get("type", "scatter") for t in traces}
    layout = figure.get("layout", {})
    if kinds == {"bar"}:
        return _bars(traces, layout)
    if not kinds or kinds - {"scatter", "scattergl"}:
        return None
    marked = [t for t in traces if "markers" in t.get("mode", "lines")]
    if marked:  # lines that only join marks go
        traces = [t for t in traces if t in marked or t.get("hoverinfo") != "skip"]
    if _by_category(traces, layout):
        return _dots(traces, layout)
    return points_of(traces, layout)


def _beneath(trace: Figure) -> bool:
    """Whether it only shades what the points lie on."""
    return trace.get("type") == "heatmap" and trace.get("hoverinfo") == "skip"


def _letters(traces: Sequence[Figure], layout: Figure) -> str:
    """Which of x and y are categories in every trace."""
    found = ""
    for letter in "yx":
        named = [
            any(isinstance(v, str) for v in t.get(letter) or []) or named_places(axis_of(layout, t, letter))
            for t in traces
        ]
        found += letter if named and all(named) else ""
    return found


def _by_category(traces: Sequence[Figure], layout: Figure) -> bool:
    return bool(_letters(traces, layout))


def _dots(traces: Sequence[Figure], layout: Figure) -> Dots | None:
    category = _letters(traces, layout)[0]
    value = "x" if category == "y" else "y"
    panels = list(dict.fromkeys(str(t.get(f"{value}axis") or value) for t in traces))
    if len(panels) > 1 and not all(
        layout.get(f"{value}axis{p.removeprefix(value)}", {}).get("matches") for p in panels[1:]
    ):
        return None
    names = _headings(layout, value, panels) if len(panels) > 1 else {}
    found = _Rows()
    for trace in traces:
        _add(found, trace, layout, category, value, names.get(str(trace.get(f"{value}axis") or value)))
    if not found.rows:
        return None
    frame = pd.DataFrame(found.rows)
    if frame.duplicated(["series", "category"]).any():
        return None
    said = (layout.get("meta") or {}).get("upright") or {}
    title = said.get("axis") or next((title for t in traces if (title := title_of(axis_of(layout, t, value)))), "")
    axis = replace(as_said(axis_of(layout, traces[0], value)), title=title, low=None, high=None)
    axis = replace(axis, turned=axis.turned or bool(said.get("first_on_top")))
    lines = {text(t.get("name") or "") or "value" for t in traces if "lines" in t.get("mode", "lines")}
    return Dots(frame, found.colors, axis, frozenset(lines & set(found.colors)), text(said.get("title") or ""))


def _headings(layout: Figure, value: str, panels: Sequence[str]) -> dict[str, str]:
    """Panel -> what stands over it: the annotation nearest to its middle."""
    titles = [a for a in layout.get("annotations") or [] if a.get("xref") == "paper"]
    found = {}
    for number, panel in enumerate(panels, start=1):
        low, high = layout.get(f"{value}axis{panel.removeprefix(value)}", {}).get("domain") or (0, 1)
        nearest = min(titles, key=lambda a: abs(float(a.get("x", 0)) - (low + high) / 2), default=None)
        found[panel] = text(nearest["text"]) if nearest else str(number)
    return found


def _add(found: _Rows, trace: Figure, layout: Figure, category: str, value: str, panel: str | None) -> None:
    places = named_places(axis_of(layout, trace, category))
    bars = trace.get(f"error_{value}") or {}
    above, below = bars.get("array") or [], bars.get("arrayminus") or bars.get("array") or []
    for at, (place, number) in enumerate(zip(trace[category], trace[value], strict=False)):
        if not isinstance(number, (int, float)):
            continue
        label = text(place) if isinstance(place, str) else _nearest(places, float(place))
        own = text(trace.get("name") or "") or "value"
        series, under = (label, panel) if panel is not None else (own, label)
        high = number + above[at] if at < len(above) and above[at] is not None else None
        low = number - below[at] if at < len(below) and below[at] is not None else None
        color, hollow = look_of(trace, at)
        row = {"series": series, "category": under, "value": float(number), "low": low, "high": high}
        found.rows.append({**row, "color": color, "hollow": hollow})
        found.colors.setdefault(series, color)


def _nearest(places: Mapping[float, str], at: float) -> str:
    return places[min(places, key=lambda p: abs(p - at))]


def _bars(traces: Sequence[Figure], layout: Figure) -> Bars | None:
    if len({(t.get("xaxis"), t.get("yaxis")) for t in traces}) > 1:
        return None
    lying = traces[0].get("orientation") == "h"
    category, value = ("y", "x") if lying else ("x", "y")
    axis = axis_of(layout, traces[0], category)
    if axis.get("visible") is False:
        return None
    places = named_places(axis)
    columns, colors = {}, {}
    for number, trace in enumerate(traces, start=1):
        name = text(trace.get("name") or "") or f"series {number}"
        labels = [text(p) if isinstance(p, str) or p not in places else places[p] for p in trace.get(category) or []]
        columns[name] = pd.Series(trace.get(value) or [], index=labels, dtype=float)
        colors[name] = look_of(trace, 0)[0]
    if any(c.index.has_duplicates or c.empty for c in columns.values()):
        return None
    order = list(dict.fromkeys(label for c in columns.values() for label in c.index))
    if len(order) > MOST_BARS:
        return None
    if lying and axis.get("autorange") != "reversed":
        order = order[::-1]  # plotly draws the first at the bottom
    share = "%" in str(axis_of(layout, traces[0], value).get("tickformat", ""))
    stacked = layout.get("barmode") in ("stack", "relative")
    title = title_of(axis_of(layout, traces[0], value))
    return Bars(pd.DataFrame(columns).reindex(order), colors, title, stacked, lying, "0%" if share else "General")
