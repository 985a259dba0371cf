"""The lab in pictures: ranks of an item over users, the place on a map, forecasts against what happened, gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.lab.launch import Placed
from llmesr.lab.past import Past
from llmesr.lab.repair import Gain
from llmesr.views.shared import marks, theme
from llmesr.views.shared.theme import Mode

HEIGHT = 300
TICKS = (0.001, 0.01, 0.1, 1, 10, 100)
"""Per cent of the users, on a scale of logarithms."""
BELOW = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}
"""A legend where no caption is."""


def rank_frame(ranks: Mapping[str, np.ndarray], n_items: int) -> pd.DataFrame:
    """rank, then for each name the share of the users (ranks > 0) who would see the item at that rank or above."""
    at = np.unique(np.geomspace(1, max(n_items, 2), 80).round().astype(int))
    columns = {name: np.searchsorted(np.sort(r[r > 0]), at, side="right") for name, r in ranks.items()}
    shares = {name: columns[name] / max(int((r > 0).sum()), 1) for name, r in ranks.items()}
    return pd.DataFrame({"rank": at, **shares})


def rank_chart(frame: pd.DataFrame, k: int, colors: Sequence[str], caption: str, mode: Mode) -> go.Figure:
    """In how large a share of lists an item stands, by their length; ``frame`` from :func:`rank_frame`. The last name
    is drawn solid, those before it dashed."""
    figure = go.Figure()
    names = [c for c in frame.columns if c != "rank"]
    for name, color in zip(names, colors, strict=True):
        figure.add_scatter(
            x=frame["rank"],
            y=(100 * frame[name]).where(frame[name] > 0),
            name=name,
            mode="lines",
            line={"color": color, "width": 2.5, "dash": "solid" if name == names[-1] else "dash"},
            hovertemplate="first %{x:,}: %{y:.1f}% of users<extra>%{fullData.name}</extra>",
        )
    figure.add_vline(x=k, line={"color": theme.SURFACE[mode]["muted"], "dash": "dot", "width": 1})
    figure.add_annotation(
        x=np.log10(k), y=1, yref="paper", text=f"first {k}", showarrow=False, xanchor="left", xshift=4
    )
    figure.update_xaxes(type="log", title="rank among all items", tickvals=_decades(int(frame["rank"].max())))
    figure.update_yaxes(type="log", title="users who would see it", tickvals=TICKS, ticktext=[f"{t:g}%" for t in TICKS])
    made = marks.titled(figure, "How far down users would find it", caption, mode, HEIGHT, width=marks.NARROW)
    return made.update_layout(showlegend=len(names) > 1, legend=BELOW)


def _decades(most: int) -> list[int]:
    return [10**power for power in range(len(str(most)))]


def map_chart(xy: np.ndarray, titles: Sequence[str], place: Placed, title: str, caption: str, mode: Mode) -> go.Figure:
    """A map of the items (N, 2) with the place of a new one, and its nearest items marked."""
    near = np.array(place.beside) - 1
    others = np.setdiff1d(np.flatnonzero(np.isfinite(xy).all(axis=1)), near)
    hover = [marks.plain(t) for t in titles]
    surface = theme.SURFACE[mode]
    figure = go.Figure()
    for name, rows, marker in (
        ("items", others, {"color": surface["muted"], "size": 4, "opacity": 0.35}),
        ("nearest items", near, {"color": theme.PARTS[mode]["semantic"], "size": 9}),
    ):
        figure.add_scattergl(
            x=xy[rows, 0],
            y=xy[rows, 1],
            mode="markers",
            name=name,
            marker=marker,
            text=[hover[row] for row in rows],
            customdata=(rows + 1)[:, None],
            hovertemplate="%{text}<extra></extra>",
        )
    star = {"symbol": "star", "size": 18, "color": theme.SEMANTIC[mode]["highlight"]}
    figure.add_scatter(
        x=[place.x],
        y=[place.y],
        mode="markers",
        name="the new product",
        marker=star,
        hovertemplate=f"{marks.plain(title)}<extra></extra>",
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    made = marks.titled(figure, "Its place on the map of texts", caption, mode, 340, width=marks.NARROW)
    return made.update_layout(legend={**BELOW, "y": 0})


def past_chart(found: Sequence[Past], caption: str, mode: Mode) -> go.Figure:
    """Expected hits against those that came, a launch on average, by groups of like forecasts and method."""
    figure = go.Figure()
    most = 1.1 * max(float(p.table["expected"].max()) for p in found)
    line = {"color": theme.SURFACE[mode]["muted"], "dash": "dot", "width": 1}
    figure.add_scatter(x=[0, most], y=[0, most], mode="lines", line=line, name="as forecast", hoverinfo="skip")
    for one in found:
        table = one.table
        figure.add_scatter(
            x=table["expected"],
            y=table["hits"],
            name=one.label,
            mode="markers",
            marker=marks.marker(one.label, mode, 10),
            error_y=marks.whiskers(table["hits"], table["low"], table["high"], 1.5),
            customdata=[[many, one.run, number] for number, many in enumerate(table["launches"])],
            hovertemplate="%{customdata[0]} launches: %{x:.3f} expected, %{y:.3f} came<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="expected hits, a launch", rangemode="tozero")
    figure.update_yaxes(title="hits that came", rangemode="tozero")
    made = marks.titled(figure, "Past launches: forecast against what happened", caption, mode, HEIGHT)
    return made.update_layout(legend=BELOW)


def gain_frame(gains: Sequence[Gain]) -> pd.DataFrame:
    """Flaw, Group, Items spoilt, Misses, Gain, Low, High."""
    return pd.DataFrame(
        [(g.flaw, g.group, g.items, g.misses, g.rate, g.low, g.high) for g in gains],
        columns=["Flaw", "Group", "Items spoilt", "Misses", "Gain", "Low", "High"],
    )


def gain_chart(gains: Sequence[Gain], caption: str, mode: Mode) -> go.Figure:
    """What a good text brings, by flaw and group, with intervals."""
    known = [g for g in gains if g.rate == g.rate]
    rates, lows, highs = ([100 * getattr(g, name) for g in known] for name in ("rate", "low", "high"))
    figure = go.Figure()
    figure.add_scatter(
        x=rates,
        y=[f"{g.flaw}, {g.group}" for g in known],
        mode="markers",
        marker={
            "color": [theme.group_color(g.group, mode) for g in known],
            "symbol": [theme.GROUP_SYMBOLS[g.group] for g in known],
            "size": 11,
        },
        error_x=marks.whiskers(rates, lows, highs, 1.5, theme.SURFACE[mode]["muted"]),
        customdata=[[g.misses, g.items, g.flaw, g.group] for g in known],
        hovertemplate="%{x:.1f}% of %{customdata[0]} who miss one of %{customdata[1]} items<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": theme.SURFACE[mode]["muted"], "width": 1})
    figure.update_xaxes(title="won of those who miss it", ticksuffix="%")
    figure.update_yaxes(autorange="reversed")
    return marks.titled(figure, "What a good text brings", caption, mode, 90 + 44 * len(known), width=marks.NARROW)
