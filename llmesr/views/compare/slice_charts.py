"""Charts of slices: frames in, plotly figures out."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.prose import counted
from llmesr.views.shared import theme
from llmesr.views.shared.marks import dash, marker, plain, titled, variants_of, whiskers
from llmesr.views.shared.theme import Mode

ROW = 26
"""Pixels per slice."""
MOST = 20
"""Slices drawn, those with the most users; all are in the table."""


def slice_chart(frame: pd.DataFrame, column: str, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """A row per slice of one column, a dot with its 95% interval per contender, the highest first.

    ``frame``: run, label, group (slice), value, low, high, users; the first contender decides the order.
    """
    order = frame.drop_duplicates("group").sort_values("users", ascending=False, kind="stable").head(MOST)
    first = frame["run"].iloc[0]
    means = frame[frame["run"] == first].set_index("group")["value"]
    ranked = [g for g in means.sort_values(kind="stable").index if g in set(order["group"])]
    place = {group: at for at, group in enumerate(ranked)}
    variants = variants_of(frame)
    figure = go.Figure()
    for i, name in enumerate(variants):
        rows = frame[(frame["run"] == name) & frame["group"].isin(place)]
        label = str(rows["label"].iloc[0])
        offset = ((len(variants) - 1) / 2 - i) * min(0.36, 0.7 / len(variants))
        figure.add_scatter(
            x=rows["value"],
            y=[place[g] + offset for g in rows["group"]],
            error_x=whiskers(rows["value"], rows["low"], rows["high"], 1.4),
            mode="markers",
            name=plain(name),
            marker=marker(label, mode, 9, variant=variants[name]),
            line={"color": theme.method_color(label, mode), "dash": dash(label, variants[name])},
            cliponaxis=False,
            customdata=list(
                zip(
                    *((plain(g) for g in rows["group"]), rows["low"], rows["high"], rows["users"]),
                    *(rows["run"].map(plain), rows["group"].map(plain)),
                    strict=True,
                )
            ),
            hovertemplate="%{fullData.name}<br>%{customdata[0]}: %{x:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]"
            "<br>%{customdata[3]:,} users<extra></extra>",
        )
    users = order.set_index("group")["users"]
    ticks = [f"{plain(g, 40)} ({counted(int(users[g]), 'user')})" for g in ranked]
    figure.update_yaxes(
        tickvals=list(range(len(ranked))), ticktext=ticks, range=[-0.6, len(ranked) - 0.4], zeroline=False
    )
    figure.update_xaxes(rangemode="tozero", title_text=metric)
    many = frame["group"].nunique()
    more = f" The {MOST} with the most users of {many}; all are in the table." if many > MOST else ""
    height = 70 + ROW * len(ranked) + (24 if len(variants) > 3 else 0)
    figure = titled(figure, f"{metric} by {plain(column)}, with 95% intervals", f"{caption}{more}", mode, height)
    return figure.update_layout(legend={"y": -70 / height, "yanchor": "top"})
