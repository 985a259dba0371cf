"""The headline: how far tail items fall behind head items, method by method."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.views import theme
from llmesr.views.theme import Mode

SHOWN = ("Tail Item", "Overall", "Head Item")


def headline_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One row per method, one mark per group, a line from tail to head: the longer, the wider the gap.

    ``frame`` has columns run (label), group, value; rows in the order to be drawn from the top.
    """
    labels = list(dict.fromkeys(frame["run"]))
    figure = go.Figure()
    wide = frame.pivot_table(index="run", columns="group", values="value", sort=False).reindex(labels)
    for label in labels:
        figure.add_trace(
            go.Scatter(
                x=[wide.loc[label].get("Tail Item"), wide.loc[label].get("Head Item")],
                y=[label, label],
                mode="lines",
                line={"color": theme.SURFACE[mode]["border"], "width": 6},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for group in SHOWN:
        rows = frame[frame["group"] == group]
        figure.add_trace(
            go.Scatter(
                x=rows["value"],
                y=rows["run"],
                mode="markers+text",
                name=group,
                marker={"color": theme.group_color(group, mode), "size": 15, "symbol": theme.GROUP_SYMBOLS[group]},
                text=[f"  {theme.metric(v)}  " for v in rows["value"]],
                textposition=[_beside(wide.loc[label], group) for label in rows["run"]],
                textfont={"color": theme.SURFACE[mode]["text"], "size": 12},
                hovertemplate=f"%{{y}}<br>{group}: %{{x:.3f}}<extra></extra>",
                cliponaxis=False,
            )
        )
    figure.update_yaxes(
        categoryorder="array", categoryarray=labels[::-1], showgrid=False, range=[-0.7, len(labels) - 0.3]
    )
    reach = float(frame.loc[frame["group"].isin(SHOWN), "value"].max()) or 1.0
    figure.update_xaxes(title_text=f"{metric}<br><sub>{caption}</sub>", range=[-0.09 * reach, 1.1 * reach])
    return theme.finish(figure, mode, height=130 + 64 * max(len(labels), 2))


def _beside(row: pd.Series, group: str) -> str:
    """Labels stand outside the line: the lower of tail and head on its left, the other on its right."""
    if group == "Overall":
        return "top center"
    lower = "Head Item" if row.get("Head Item", 0) < row.get("Tail Item", 0) else "Tail Item"
    return "middle left" if group == lower else "middle right"
