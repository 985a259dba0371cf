"""What a plotly figure shows as a chart that PowerPoint can draw itself: dots by category, bars, or points.

Only what can be said truly is: panels on scales of their own, maps of thousands of points and pictures whose labels are
drawn by hand are left to the table beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from math import ceil, floor
from typing import Any

import pandas as pd

from llmesr.views.shared.slide import Axis, Series
from llmesr.views.shared.theme import SURFACE

MOST_POINTS = 5000
MOST_BARS = 40
_TAG = re.compile(r"<[^>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
Figure = Mapping[str, Any]


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


@dataclass(frozen=True)
class Points:
    """``names``: words at places in the plane. ``square``: one unit is as long on both axes."""

    series: list[Series]
    axes: tuple[Axis, Axis]
    names: tuple[tuple[float, float, str], ...] = ()
    square: bool = False


@dataclass
class _Rows:
    """Dots as they are found, trace by trace."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    colors: dict[str, str] = field(default_factory=dict)


def native(figure: Figure) -> Dots | Bars | Points | None:
    """The chart behind a figure (plotly's JSON, drawn in light); None where no chart of PowerPoint shows the same."""
    traces = [t for t in figure["data"] if t.get("visible", True) is True and t.get("mode") != "text"]
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
    return _points(traces, layout)


def text(label: Any) -> str:
    """A label without markup, on one line."""
    return unescape(_TAG.sub("", _BREAK.sub(", ", str(label)))).strip()


def _axis(layout: Figure, trace: Figure, letter: str) -> Figure:
    number = str(trace.get(f"{letter}axis") or letter).removeprefix(letter)
    found: Figure = layout.get(f"{letter}axis{number}") or {}
    return found


def _title(axis: Figure) -> str:
    title = axis.get("title") or ""
    return text(title.get("text", "") if isinstance(title, Mapping) else title)


def _named_places(axis: Figure) -> dict[float, str]:
    """Place -> label, where an axis of numbers has names at whole places."""
    if axis.get("type") == "log" or not axis.get("ticktext"):
        return {}
    places = axis.get("tickvals") or []
    return {float(p): text(t) for p, t in zip(places, axis["ticktext"], strict=False) if isinstance(p, (int, float))}


def _letters(traces: Sequence[Figure], layout: Figure) -> str:
    """Which of x and y are categories in every trace."""
    found = ""
    for letter in "yx":
        named = [
            any(isinstance(v, str) for v in t.get(letter) or []) or _named_places(_axis(layout, t, letter))
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
    title = said.get("axis") or next((title for t in traces if (title := _title(_axis(layout, t, value)))), "")
    axis = replace(_as_said(_axis(layout, traces[0], value)), title=title, low=None, high=None)
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
    places = _named_places(_axis(layout, trace, category))
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
        color, hollow = _look(trace, at)
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
    axis = _axis(layout, traces[0], category)
    if axis.get("visible") is False:
        return None
    places = _named_places(axis)
    columns, colors = {}, {}
    for number, trace in enumerate(traces, start=1):
        name = text(trace.get("name") or "") or f"series {number}"
        labels = [text(p) if isinstance(p, str) or p not in places else places[p] for p in trace.get(category) or []]
        columns[name] = pd.Series(trace.get(value) or [], index=labels, dtype=float)
        colors[name] = _look(trace, 0)[0]
    if any(c.index.has_duplicates or c.empty for c in columns.values()):
        return None
    order = list(dict.fromkeys(label for c in columns.values() for label in c.index))
    if len(order) > MOST_BARS:
        return None
    if lying and axis.get("autorange") != "reversed":
        order = order[::-1]  # plotly draws the first at the bottom
    share = "%" in str(_axis(layout, traces[0], value).get("tickformat", ""))
    stacked = layout.get("barmode") in ("stack", "relative")
    title = _title(_axis(layout, traces[0], value))
    return Bars(pd.DataFrame(columns).reindex(order), colors, title, stacked, lying, "0%" if share else "General")


def _points(traces: Sequence[Figure], layout: Figure) -> Points | None:
    first = traces[0]
    axes = [_axis(layout, first, letter) for letter in "xy"]
    several = len({(t.get("xaxis"), t.get("yaxis")) for t in traces}) > 1
    if several or any(a.get("visible") is False for a in axes):
        return None
    made = []
    for number, trace in enumerate(traces, start=1):
        both = zip(trace.get("x") or [], trace.get("y") or [], strict=False)
        known = [(float(x), float(y)) for x, y in both if isinstance(x, (int, float)) and isinstance(y, (int, float))]
        if known:
            xs, ys = zip(*known, strict=True)
            mode, name = trace.get("mode", "lines"), text(trace.get("name") or "") or f"series {number}"
            made.append(Series(name, xs, ys, _look(trace, 0)[0], joined="lines" in mode, marked="markers" in mode))
    if not made or sum(len(s.x) for s in made) > MOST_POINTS:
        return None
    square = axes[1].get("scaleanchor") == "x"
    if square:  # the corners, so that the picture keeps its shape
        said = [replace(_as_said(a), low=floor(min(a["range"])), high=ceil(max(a["range"]))) for a in axes]
    else:
        said = [_as_said(a) for a in axes]
    return Points(made, (said[0], said[1]), _names(layout, axes), square)


def _names(layout: Figure, axes: Sequence[Figure]) -> tuple[tuple[float, float, str], ...]:
    """What is written into the plane: annotations at places on both axes, not those beside or above it."""
    found = []
    for note in layout.get("annotations") or []:
        at = [note.get("x"), note.get("y")]
        if (note.get("xref", "x"), note.get("yref", "y")) != ("x", "y") or not note.get("text"):
            continue
        if all(isinstance(v, (int, float)) for v in at):
            # On a logarithmic axis an annotation stands at the logarithm.
            x, y = (10.0**v if a.get("type") == "log" else float(v) for v, a in zip(at, axes, strict=True))
            found.append((x, y, text(note["text"])))
    return tuple(found)


def _as_said(axis: Figure) -> Axis:
    """Title, percent or plain numbers, and the range where the figure fixes one at round numbers."""
    log, limits = axis.get("type") == "log", list(axis.get("range") or (None, None))
    low, high = (None if log or v is None or round(v, 2) != v else float(v) for v in limits)
    share = "%" in str(axis.get("tickformat", ""))
    turned = axis.get("autorange") == "reversed" or (None not in limits and limits != sorted(limits))
    return Axis(
        _title(axis),
        "0%" if share else "General",
        high if turned else low,
        low if turned else high,
        log=log,
        turned=turned,
        told=axis.get("showticklabels") is not False,
    )


def _look(trace: Figure, at: int) -> tuple[str, bool]:
    """The colour of a point as ``#rrggbb``, muted where it is one of a scale, and whether it is hollow."""
    background = SURFACE["light"]["background"]
    for part in ("marker", "line"):
        style = trace.get(part) or {}
        color = _of(style.get("color"), at)
        hollow = color == background
        if hollow:  # its rim says what it is
            color = _of((style.get("line") or {}).get("color"), at)
        if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            return color, hollow
    return SURFACE["light"]["muted"], False


def _of(value: Any, at: int) -> Any:
    """The value of a point, where they differ."""
    if not isinstance(value, list):
        return value
    return value[at] if at < len(value) else None
