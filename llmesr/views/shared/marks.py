"""How contenders are drawn in every comparing chart: marker, dash, whiskers, and a heading with the definition."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape, unescape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line

LONGEST = 60
WIDE, NARROW = 104, 72
"""Characters in a line of the caption: charts over the whole page (of a small screen), charts beside another (as many
as a phone has room for)."""
TITLE = 0.72
"""Of so many of them a line of the title holds: its letters are larger."""
TITLE_LINE = 21
_TAG = re.compile(r"<[^>]*>")
BESIDE = 30
"""Characters of a name in the legend of a chart beside another: two columns of them."""
SHORT = 26
"""Characters of a name beside panels: a long one would squeeze them; pointing at a mark says it whole."""
LINE = 16
DOT = 8
"""Pixels of a dot in panels side by side: on a small screen a larger one covers its interval."""
COLUMN = 18
"""Characters of a name in a legend of two columns on a phone."""
ENTRY = 19
"""Pixels of a line of a legend in small letters."""
SIGNED: dict[str, Any] = {"tickformat": "+.2~f", "labelalias": {"+0": "0", "−0": "0"}}
"""An axis of differences: zero has no sign."""
_VARIANTS = ("", "-open", "-dot", "-open-dot")
"""Marker endings that tell configurations of one method and backbone apart."""


def plain(text: object, longest: int = LONGEST) -> str:
    """``text`` so that plotly shows it as it is: no markup, one line, cut to ``longest`` characters."""
    return escape(one_line(text, longest), quote=False)


def whiskers(
    value: Any, low: Any, high: Any, thickness: float, color: str | None = None, *, caps: int = 0
) -> dict[str, Any]:
    """Error bars from ``low`` to ``high``: numbers, or arrays of them. Without ``color`` they take the marker's.
    ``caps``: pixels either way at their ends."""
    mean, below, above = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (value, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(above - mean, 0),
        "arrayminus": np.maximum(mean - below, 0),
        "thickness": thickness,
        "width": caps,
        **({"color": color} if color else {}),
    }


def beside(names: list[str]) -> dict[str, Any]:
    """The axis of configurations beside panels, the first at the top, long names cut."""
    shown = [plain(name) for name in names]
    order = {"categoryorder": "array", "categoryarray": shown[::-1]}
    return {**order, "tickvals": shown, "ticktext": [plain(name, SHORT) for name in names]}


def variants_of(frame: pd.DataFrame) -> dict[str, int]:
    """run -> how many earlier runs have its label."""
    runs = frame.drop_duplicates("run")
    return dict(zip(runs["run"], runs.groupby("label").cumcount().tolist(), strict=True))


def dash(label: str, variant: int) -> str:
    return theme.dash(label) if variant == 0 else ("longdash", "dashdot", "longdashdot")[(variant - 1) % 3]


def marker(
    label: str, mode: Mode, size: int, *, filled: bool = True, variant: int = 0, telling: bool = False
) -> dict[str, Any]:
    """``telling``: whether a marker is filled says something, so that no method may be hollow of its own accord."""
    color, shape = theme.method_color(label, mode), theme.symbol(label)
    shape = shape.removesuffix("-open") if telling else shape
    if not shape.endswith("open"):
        shape += _VARIANTS[variant % len(_VARIANTS)]
    hollow = "open" in shape
    return {
        "symbol": shape,
        "size": size,
        "color": color if filled or hollow else theme.SURFACE[mode]["background"],
        "line": {"color": color, "width": 2 if hollow or not filled else 0},
    }


def markers(labels: pd.Series, mode: Mode, size: int) -> dict[str, Any]:
    return {
        "symbol": [theme.symbol(label) for label in labels],
        "color": [theme.method_color(label, mode) for label in labels],
        "size": size,
    }


def titled(
    figure: go.Figure,
    title: str,
    caption: str,
    mode: Mode,
    height: int,
    *,
    width: int = WIDE,
    panels: bool = False,
) -> go.Figure:
    """The finished chart: its :func:`heading` said of ``figure``."""
    return figure.update_layout(heading(title, caption, mode, height, width=width, panels=panels))


def heading(
    title: str, caption: str, mode: Mode, height: int, *, width: int = WIDE, panels: bool = False
) -> dict[str, object]:
    """The layout of a chart with its title and caption; ``height`` is without them. The caption, which holds protocol
    and head/tail definition, is part of the picture, so that it is still there when the picture is saved."""
    lines = textwrap.wrap(" ".join(caption.split()), width)
    titles = textwrap.wrap(title, int(TITLE * width))
    pad = 18 if titles[1:] else 10  # the first of several lines stands higher than one alone
    top = 48 + pad + LINE * len(lines) + TITLE_LINE * (len(titles) - 1) + (36 if panels else 0)
    muted = {"size": 12, "color": theme.SURFACE[mode]["muted"]}
    subtitle = {"text": "<br>".join(plain(line, width) for line in lines), "font": muted}
    said: dict[str, object] = {"title_subtitle": subtitle, "title_pad_t": pad, "title_y": 1, "margin_t": top}
    return theme.look(mode, height=height + top, title=" <br>".join(titles), **said)


def unmarked(title: object) -> str:
    """A title as it was before it was escaped and broken into lines."""
    return unescape(_TAG.sub("", str(title)))


def upright(*, title: str = "", axis: str = "", first_on_top: bool = False) -> dict[str, object]:
    """The layout that gives a lying chart its words for where it is drawn standing, as on a slide: its title, and that
    of the axis of its values. What is said of left and right, or of what is drawn behind it, does not hold there.
    ``first_on_top``: small values are good, as ranks are, and belong at the top."""
    said = {"title": title, "axis": axis, "first_on_top": first_on_top}
    return {"meta": {"upright": {key: value for key, value in said.items() if value}}}


@dataclass(frozen=True)
class Sampled:
    """Of how many points (``all``; 0 where that is not known) of what kind a map draws some, the name of the trace that
    holds the selected, and how many are selected."""

    of: str = "points"
    all: int = 0
    selected: str = "selected"
    chosen: int = 0


def sampled(of: Sampled) -> dict[str, object]:
    """What a layout's ``meta`` says of what a map draws of what there is, for where it is drawn in another way."""
    return {"sampled": asdict(of)}


def sampled_of(layout: Mapping[str, Any]) -> Sampled:
    """What a layout says of it; as if nothing were left out where it says nothing."""
    found, usual = (layout.get("meta") or {}).get("sampled") or {}, asdict(Sampled())
    return Sampled(**{k: v for k, v in found.items() if k in usual and isinstance(v, type(usual[k]))})


def legend_below(figure: go.Figure, *, under: int = 80) -> go.Figure:
    """Put the legend below a chart beside another, ``under`` its plot in pixels, and make the chart so much higher that
    the plot keeps its height whatever stands in the legend: in two columns where names can be cut to fit a phone and
    are still told apart, else in one. For a chart that is :func:`titled`."""
    names = [unescape(trace.name) for trace in figure.data if trace.name]
    short = [one_line(name, COLUMN) for name in names]
    columns = 2 if len(set(short)) == len(names) else 1
    for trace, name in zip((t for t in figure.data if t.name), short if columns == 2 else names, strict=True):
        trace.name = escape(name, quote=False)
    room, layout = 12 + ENTRY * -(-len(names) // columns), figure.layout
    plot = layout.height - layout.margin.t - under
    legend = {"y": -under / plot, "yanchor": "top", "font_size": 12, "entrywidthmode": "fraction"}
    return figure.update_layout(
        height=layout.height + room, margin_b=under + room, legend=legend | {"entrywidth": 0.98 / columns}
    )
