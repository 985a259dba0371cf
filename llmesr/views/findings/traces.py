"""What plotly's JSON says of a trace and its axes: labels as text, titles, colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from llmesr.views.shared.slide import Axis
from llmesr.views.shared.theme import SURFACE

_TAG = re.compile(r"<[^>]*>")
_BREAK = re.compile(r"(?<! )<br\s*/?>", re.IGNORECASE)
"""Between two things that are said; after a space a line that was too long goes on."""
Figure = Mapping[str, Any]


def text(label: Any) -> str:
    """A label without markup, on one line."""
    return unescape(_TAG.sub("", _BREAK.sub(", ", str(label)))).strip()


def axis_of(layout: Figure, trace: Figure, letter: str) -> Figure:
    number = str(trace.get(f"{letter}axis") or letter).removeprefix(letter)
    found: Figure = layout.get(f"{letter}axis{number}") or {}
    return found


def title_of(axis: Figure) -> str:
    title = axis.get("title") or ""
    return text(title.get("text", "") if isinstance(title, Mapping) else title)


def named_places(axis: Figure) -> dict[float, str]:
    """Place -> label, where an axis of numbers has names at whole places."""
    if axis.get("type") == "log" or not axis.get("ticktext"):
        return {}
    places = axis.get("tickvals") or []
    return {float(p): text(t) for p, t in zip(places, axis["ticktext"], strict=False) if isinstance(p, (int, float))}


def as_said(axis: Figure) -> Axis:
    """Title, percent or plain numbers, and the range where the figure fixes one at round numbers."""
    log, limits = axis.get("type") == "log", list(axis.get("range") or (None, None))
    low, high = (None if log or v is None or round(v, 2) != v else float(v) for v in limits)
    share = "%" in str(axis.get("tickformat", ""))
    turned = axis.get("autorange") == "reversed" or (None not in limits and limits != sorted(limits))
    return Axis(
        title_of(axis),
        "0%" if share else "General",
        high if turned else low,
        low if turned else high,
        log=log,
        turned=turned,
        told=axis.get("showticklabels") is not False,
    )


def look_of(trace: Figure, at: int) -> tuple[str, bool]:
    """The colour of a point as ``#rrggbb``, muted where it has none of its own, and whether it is hollow."""
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
