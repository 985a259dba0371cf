"""The long tail of a dataset, drawn: popularity by rank, Lorenz, and how long the histories are."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.data.groups import Thresholds
from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode


def popularity_chart(frame: pd.DataFrame, thresholds: Thresholds, mode: Mode = "light") -> go.Figure:
    """Interactions of an item by its rank, both axes logarithmic; head and tail in their colours.

    ``frame`` has columns rank (1 is the most chosen) and count; items that nobody chose cannot be drawn.
    """
    rows = frame[frame["count"] > 0]
    head = ~thresholds.tail_items(rows["count"])
    figure = go.Figure()
    for group, part in (("Head Item", rows[head]), ("Tail Item", rows[~head])):
        figure.add_trace(
            go.Scatter(
                x=part["rank"],
                y=part["count"],
                mode="lines+markers",
                name=group,
                line={"color": theme.group_color(group, mode), "width": 3},
                marker={"symbol": theme.GROUP_SYMBOLS[group], "size": 5},
                customdata=part[["count"]].to_numpy(),
                hovertemplate="rank %{x}: %{y} interactions<extra></extra>",
            )
        )
    _threshold(figure, thresholds.item, "y", f"head: {thresholds.item} or more", mode)
    figure.update_xaxes(type="log", title_text="Item, most chosen first (log)", dtick=1)
    figure.update_yaxes(type="log", title_text="Training interactions (log)", dtick=1)
    return theme.finish(figure, mode, height=380)


def lorenz_chart(frame: pd.DataFrame, gini: float, head_share: float, mode: Mode = "light") -> go.Figure:
    """Share of all interactions that the least chosen share of items gets.

    ``frame`` has columns items and interactions, cumulative shares; ``head_share`` is the share of items that are head.
    """
    figure = go.Figure()
    muted = theme.SURFACE[mode]["muted"]
    figure.add_trace(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name="perfect equality",
            line={"color": muted, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    color = theme.SURFACE[mode]["primary"]
    figure.add_trace(
        go.Scatter(
            x=frame["items"],
            y=frame["interactions"],
            mode="lines",
            name=f"this dataset (Gini {gini:.2f})",
            line={"color": color, "width": 3},
            fill="tozeroy",
            fillcolor=theme.translucent(color, 0.12),
            hovertemplate="the least chosen %{x:.0%} of items get %{y:.1%} of interactions<extra></extra>",
        )
    )
    _threshold(figure, 1 - head_share, "x", "tail ends here", mode)
    shares = {"tickformat": ".0%", "range": [0, 1], "tickvals": [0.2, 0.4, 0.6, 0.8, 1]}
    figure.update_xaxes(title_text="Share of items, least chosen first", **shares)
    figure.update_yaxes(title_text="Share of interactions", **shares)
    return theme.finish(figure, mode, height=380).update_layout(margin_r=24)  # room for the last tick


def lengths_chart(frame: pd.DataFrame, thresholds: Thresholds, mode: Mode = "light") -> go.Figure:
    """How many users have a training history of each length; ``frame`` has columns length and users."""
    rows = _binned(frame, thresholds.user)
    wider = len(rows) < len(frame)
    head = ~thresholds.tail_users(rows["length"])
    figure = go.Figure()
    for group, part in (("Tail User", rows[~head]), ("Head User", rows[head])):
        figure.add_trace(
            go.Bar(
                x=part["label"],
                y=part["users"],
                name=group,
                marker={"color": theme.group_color(group, mode)},
                customdata=part[["length", "last"]].to_numpy(),
                hovertemplate="%{x} interactions: %{y} users<extra></extra>",
            )
        )
    figure.update_xaxes(
        title_text="Training interactions of a user" + (" (bars cover wider ranges to the right)" if wider else ""),
        type="category",
        categoryarray=rows["label"],
        nticks=16,
    )
    figure.update_yaxes(title_text="Users")
    figure.update_layout(bargap=0.08)
    return theme.finish(figure, mode, height=380)


def _binned(frame: pd.DataFrame, border: int, most: int = 40) -> pd.DataFrame:
    """length, last, label, users: one bar per length up to ``most``, then wider bins; none is both head and tail."""
    lengths, users = frame["length"].to_numpy(), frame["users"].to_numpy()
    if len(lengths) == 0:
        return pd.DataFrame({"length": [], "last": [], "label": [], "users": []})
    top = int(lengths.max())
    if top <= most:
        starts = np.arange(int(lengths.min()), top + 1)
    else:
        wide = np.geomspace(11, top + 1, most - 10).astype(int)
        starts = np.unique(np.concatenate([np.arange(1, 11), wide, [border]]))
        starts = starts[(starts >= lengths.min()) & (starts <= top)]
        starts = starts if len(starts) and starts[0] == lengths.min() else np.insert(starts, 0, lengths.min())
    where = np.searchsorted(starts, lengths, side="right") - 1
    sums = np.bincount(where, weights=users, minlength=len(starts)).astype(int)
    ends = np.append(starts[1:] - 1, top)
    labels = [str(a) if a == b else f"{a}–{b}" for a, b in zip(starts, ends, strict=True)]
    return pd.DataFrame({"length": starts, "last": ends, "label": labels, "users": sums})


def _threshold(figure: go.Figure, value: float, axis: str, text: str, mode: Mode) -> None:
    """A dashed line across the plot with words beside it; the y axis is logarithmic."""
    line = {"color": theme.SURFACE[mode]["muted"], "dash": "dash", "width": 1.5}
    words = {"text": text, "showarrow": False, "font": {"color": theme.SURFACE[mode]["text"]}}
    if axis == "y":
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=value, y1=value, line=line)
        # Left and below: a falling curve is above the line there.
        figure.add_annotation(x=0.01, xref="paper", xanchor="left", y=math.log10(value), yanchor="top", **words)
    else:
        figure.add_shape(type="line", y0=0, y1=1, yref="paper", x0=value, x1=value, line=line)
        figure.add_annotation(y=1, yref="paper", yanchor="top", x=value, xanchor="right", xshift=-4, **words)
