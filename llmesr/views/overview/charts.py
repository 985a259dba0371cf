"""The headline: how far the tail falls behind the head, method by method, by items or by users."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.views.shared import theme
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import METHODS_IN_SHORT

ROW = 60
"""Pixels of a method: its name, the overall value, and the line with its marks."""


def headline_chart(frame: pd.DataFrame, metric: str, mode: Mode = "light", by: str = "Item") -> go.Figure:
    """One row per method, one mark per group, a line from tail to head: the longer, the wider the gap.

    ``frame`` has columns run (label), group, value; rows in the order to be drawn from the top. ``by`` is
    "Item" or "User": whose tail and head are set against each other.
    """
    tail, head = f"Tail {by}", f"Head {by}"
    shown = (tail, "Overall", head)
    labels = list(dict.fromkeys(frame["run"]))
    wide = frame.pivot_table(index="run", columns="group", values="value", sort=False).reindex(labels)
    ends = wide.reindex(columns=[tail, head])
    figure = go.Figure(
        go.Scatter(
            x=[x for low, high in ends.to_numpy() for x in (low, high, None)],
            y=[y for label in labels for y in (label, label, None)],
            mode="lines",
            line={"color": theme.SURFACE[mode]["border"], "width": 6},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for group in shown:
        rows = frame[frame["group"] == group]
        figure.add_trace(
            go.Scatter(
                x=rows["value"],
                y=rows["run"],
                mode="markers+text",
                name=group,
                marker={"color": theme.group_color(group, mode), "size": 15, "symbol": theme.GROUP_SYMBOLS[group]},
                text=[f"  {theme.percent(v, 1)}  " for v in rows["value"]],
                textposition=[_beside(wide.loc[label], group, tail, head) for label in rows["run"]],
                textfont={"color": theme.SURFACE[mode]["text"], "size": 12},
                customdata=[[run, group] for run in rows["run"]],
                hovertemplate=f"%{{y}}<br>{group}: %{{x:.1%}}<extra></extra>",
                cliponaxis=False,
            )
        )
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=labels[::-1],
        showticklabels=False,
        showgrid=False,
        range=[-0.5, len(labels) - 0.2],
    )
    reach = float(frame.loc[frame["group"].isin(shown), "value"].max()) or 1.0
    figure.update_xaxes(
        title_text=f"{metric}: users whose next item is in the top {metric.partition('@')[2]}",
        range=[-0.15 * reach, 1.17 * reach],  # room for the outer labels
        tickformat=".0%",
    )
    return theme.finish(figure, mode, height=120 + ROW * max(len(labels), 2)).update_layout(
        margin_t=40, annotations=[_above(label, mode) for label in labels]
    )


def _above(label: str, mode: Mode) -> dict[str, object]:
    """The name of a method above its line, not beside it: the marks have the whole width, on a phone too."""
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": label, "yshift": 32}
    return {**place, "text": _name(label, mode), "showarrow": False}


def _name(label: str, mode: Mode) -> str:
    """The run's label, and beside it what the method knows."""
    known = METHODS_IN_SHORT.get(theme.method_of(label))
    surface = theme.SURFACE[mode]
    name = f'<b style="color:{surface["text"]}">{label}</b>'
    return f'{name}  <span style="font-size:12px;color:{surface["muted"]}">{known}</span>' if known else name


def _beside(row: pd.Series, group: str, tail: str, head: str) -> str:
    """Labels stand outside the line: the lower of tail and head on its left, the other on its right."""
    if group == "Overall":
        return "top center"
    lower = head if row.get(head, 0) < row.get(tail, 0) else tail
    return "middle left" if group == lower else "middle right"
