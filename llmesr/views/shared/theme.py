"""One visual language: colours, line styles, number formats and the plotly look, in light and dark.

A method has one colour and one marker on every page, a group has one colour. Colours were searched for the
largest smallest distance under normal vision and simulated protanopia, deuteranopia and tritanopia; the test
repeats that simulation. Colour is never the only cue: methods differ in marker too, backbones in dash.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import plotly.graph_objects as go

from llmesr import prose

Mode = Literal["light", "dark"]

SURFACE: dict[Mode, dict[str, str]] = {
    "light": {
        "background": "#ffffff",
        "panel": "#f3f5f8",
        "border": "#d5dae2",
        "text": "#1b2430",
        "muted": "#566072",
        "primary": "#0f6e66",
        "grid": "#e4e8ee",
    },
    "dark": {
        "background": "#12161c",
        "panel": "#1b212a",
        "border": "#333d4b",
        "text": "#e8ecf1",
        "muted": "#a3adbb",
        "primary": "#4fd1bd",
        "grid": "#2a323d",
    },
}
"""Backgrounds, text and accents; ``.streamlit/config.toml`` repeats them and a test keeps the two equal."""

METHODS: dict[Mode, dict[str, str]] = {
    "light": {
        "popularity": "#5a5f6b",
        "semantic-knn": "#bd8a10",
        "item-knn": "#5b3751",
        "markov": "#987ef0",
        "ease": "#1807e9",
        "text-ease": "#fc4a9b",
        "ials": "#8828b3",
        "id": "#1f3180",
        "llm-init": "#8f57dc",
        "adapter": "#9a5200",
        "llm-esr": "#2a9688",
        "llmemb": "#7a0019",
        "codes": "#280040",
        "language": "#410102",
        "generative": "#020518",
    },
    "dark": {
        "popularity": "#aeb2ba",
        "semantic-knn": "#ffe15c",
        "item-knn": "#83957b",
        "markov": "#b877bd",
        "ease": "#1fa4f4",
        "text-ease": "#f2b022",
        "ials": "#237b5c",
        "id": "#5576f5",
        "llm-init": "#8f5a9a",
        "adapter": "#d9851a",
        "llm-esr": "#4fefd6",
        "llmemb": "#d02c40",
        "codes": "#58d880",
        "language": "#7052c7",
        "generative": "#fdffb2",
    },
}
"""One colour per method. On the page background every one has a contrast of at least 3:1 (WCAG for graphics)."""

GROUP_COLORS: dict[Mode, dict[str, str]] = {
    "light": {
        "Overall": "#372f2f",
        "Tail Item": "#a04c00",
        "Head Item": "#24509f",
        "Tail User": "#c0850f",
        "Head User": "#4398b7",
        "Cold Item": "#8450da",
    },
    "dark": {
        "Overall": "#dfe8ea",
        "Tail Item": "#c0561f",
        "Head Item": "#4f6bc4",
        "Tail User": "#d9b13a",
        "Head User": "#5fb8e8",
        "Cold Item": "#9182f8",
    },
}
"""One colour per group: warm is tail, blue is head, dark is items, light is users; cold items are violet."""

TAIL_COLOR: dict[Mode, str] = {m: GROUP_COLORS[m]["Tail Item"] for m in GROUP_COLORS}
HEAD_COLOR: dict[Mode, str] = {m: GROUP_COLORS[m]["Head Item"] for m in GROUP_COLORS}

SEMANTIC: dict[Mode, dict[str, str]] = {
    "light": {"good": "#1c6b34", "bad": "#a3201f", "highlight": "#d1117f"},
    "dark": {"good": "#6fd48a", "bad": "#ff8f87", "highlight": "#ff7ac6"},
}
"""Text for gains and losses, and the colour of a selection on a map."""

PARTS: dict[Mode, dict[str, str]] = {
    "light": {"collaborative": "#24509f", "semantic": "#12836f", "content": "#c0850f", "linear": "#5c1a33"},
    "dark": {"collaborative": "#6f8fe8", "semantic": "#2fc7ab", "content": "#d9b13a", "linear": "#c4516a"},
}
"""The parts of a score."""


def part(name: str, mode: Mode) -> str:
    """The colour of a part of a score; one without a colour of its own is muted."""
    return PARTS[mode].get(name, SURFACE[mode]["muted"])


SEQUENTIAL = "Cividis"
"""The colour scale of quantities: even in lightness, readable under every common colour-vision deficiency."""
POINT_SCALE: dict[Mode, list[list[object]]] = {
    "light": [[0.0, "#00224e"], [0.5, "#666970"], [1.0, "#b58900"]],
    "dark": [[0.0, "#5b7bd0"], [0.5, "#a9a99c"], [1.0, "#ffe945"]],
}
"""Cividis without the end that a point on this background would drown in."""
DIVERGING: list[list[object]] = [[0.0, "#a04c00"], [0.5, "#c9ccd3"], [1.0, "#24509f"]]
"""Loss (warm) to gain (cold) around zero."""

SYMBOLS: dict[str, str] = {
    "popularity": "circle-open",
    "semantic-knn": "triangle-up",
    "item-knn": "pentagon",
    "markov": "triangle-right",
    "ease": "hexagon",
    "text-ease": "hexagram",
    "ials": "diamond-tall",
    "id": "square",
    "llm-init": "diamond",
    "adapter": "cross",
    "llm-esr": "circle",
    "llmemb": "star",
    "codes": "bowtie",
    "language": "hourglass",
    "generative": "asterisk-open",
}
GROUP_SYMBOLS: dict[str, str] = {
    "Overall": "circle",
    "Tail Item": "triangle-down",
    "Head Item": "triangle-up",
    "Tail User": "diamond",
    "Head User": "square",
    "Cold Item": "star-diamond",
}
DASHES: dict[str, str] = {"sasrec": "solid", "bert4rec": "dash", "gru4rec": "dot"}

FONT = "Source Sans, system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


def method_of(label: str) -> str:
    """The method in a run label such as ``"llm-esr/sasrec"`` or ``"popularity"``."""
    return label.split("/", 1)[0]


def method_color(label: str, mode: Mode = "light") -> str:
    """The colour of a method or of a run label. An unknown method is drawn in the muted text colour."""
    return METHODS[mode].get(method_of(label), SURFACE[mode]["muted"])


def group_color(group: str, mode: Mode = "light") -> str:
    """The colour of one of the named groups; a cell such as ``Tail User x Tail Item`` takes its item's."""
    colors = GROUP_COLORS[mode]
    return colors.get(group) or next(
        (colors[g] for g in ("Tail Item", "Head Item") if g in group), SURFACE[mode]["muted"]
    )


def symbol(label: str) -> str:
    """The marker of a method or run label."""
    return SYMBOLS.get(method_of(label), "x")


def dash(label: str) -> str:
    """The line dash of a run label: by backbone."""
    return DASHES.get(label.partition("/")[2], "solid")


def translucent(color: str, alpha: float) -> str:
    """``#rrggbb`` as ``rgba(...)``, for interval bands."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@functools.cache
def template(mode: Mode = "light") -> go.layout.Template:
    """The plotly template of a mode, shared: figures take a copy."""
    s = SURFACE[mode]
    axis = {
        "gridcolor": s["grid"],
        "linecolor": s["border"],
        "zerolinecolor": s["border"],
        "tickfont": {"color": s["muted"]},
        "title": {"font": {"color": s["text"], "size": 14}, "standoff": 8},
        "automargin": True,
    }
    passed_by = {"unselected": {"marker": {"opacity": 0.35}, "textfont": {"color": s["muted"]}}}
    return go.layout.Template(
        data={"scatter": [passed_by]},  # numbers beside a mark that was clicked stay readable
        layout={
            "font": {"family": FONT, "size": 14, "color": s["text"]},
            "title": {"font": {"size": 16, "color": s["text"]}, "x": 0, "xanchor": "left"},
            "paper_bgcolor": s["background"],
            "plot_bgcolor": s["background"],
            "colorway": list(METHODS[mode].values()),
            "colorscale": {"sequential": SEQUENTIAL, "diverging": DIVERGING},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "font": {"color": s["text"]}},
            "margin": {"l": 8, "r": 8, "t": 48, "b": 8},
            "hoverlabel": {
                "bgcolor": s["panel"],
                "bordercolor": s["border"],
                "font": {"color": s["text"], "family": FONT},
                "align": "left",
            },
            "hovermode": "closest",
        },
    )


def look(mode: Mode = "light", *, height: int = 360, title: str | None = None, **layout: object) -> dict[str, object]:
    """The layout of a figure in the project's look, and what else ``layout`` says."""
    heading = {"title_text": title, "margin_t": 84, "title_y": 0.98, "title_yanchor": "top"} if title else {}
    return {"template": template(mode), "height": height} | heading | layout


def finish(
    figure: go.Figure, mode: Mode = "light", *, height: int = 360, title: str | None = None, **layout: object
) -> go.Figure:
    """Give a figure the project's :func:`look`; every chart function ends with this, or begins with the look."""
    return figure.update_layout(look(mode, height=height, title=title, **layout))


def plotly_config(name: str = "chart", image: str = "png") -> dict[str, object]:
    """The plotly settings of every chart: no logo, and a camera button that saves ``<name>.png`` or ``.svg``."""
    return {
        "displaylogo": False,
        "responsive": True,
        "toImageButtonOptions": {"format": image, "filename": name, "scale": 2 if image == "png" else 1},
    }


MISSING = "–"


def _absent(value: float | int | None) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def metric(value: float | None) -> str:
    """A ranking metric: three decimals, ``0.423``; an en dash where there is none."""
    return MISSING if _absent(value) else f"{value:.3f}"


def scored(value: float | None, name: str) -> str:
    """A value of the metric ``name``: hit rates are shares."""
    return percent(value, 1) if name.startswith("HR") else metric(value)


def signed(value: float | None) -> str:
    """A difference of metrics: ``+0.012``; zero has no sign."""
    return MISSING if value is None or _absent(value) else prose.signed(value)


def percent(value: float | None, digits: int = 0) -> str:
    """A share 0..1 as ``43%``."""
    return MISSING if value is None or _absent(value) else f"{100 * value:.{digits}f}%"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None or _absent(value) else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """``8 s``, ``2 min 05 s``, ``1 h 20 min``."""
    if seconds is None or _absent(seconds):
        return MISSING
    return prose.duration(seconds)


def short_date(iso: str) -> str:
    """An ISO time stamp (UTC) as ``01-31 14:05``."""
    return iso[5:16].replace("T", " ")


def date(iso: str) -> str:
    """An ISO time stamp (UTC) as ``2025-01-31 14:05 UTC``."""
    return f"{iso[:16].replace('T', ' ')} UTC" if iso else MISSING
