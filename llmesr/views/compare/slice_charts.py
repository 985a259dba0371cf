"""Charts of slices: frames in, plotly figures out."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.prose import counted
from llmesr.views.shared import theme
from llmesr.views.shared.marks import SHORT, dash, marker, plain, titled, variants_of, whiskers
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


GAP_ROW = 54
"""Pixels of a column of users: its name, and the two segments on a line."""


def gap_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """The best and the worst served segment of each column of users, joined by a line: the longer, the less equal.

    ``frame``: a row per segment with dimension, name (what the dimension is called), segment, side (best, worst),
    value, users; in the order to be drawn from the top.
    """
    columns = list(dict.fromkeys(frame["name"]))
    figure = go.Figure()
    for name in columns:
        ends = frame.loc[frame["name"] == name, "value"]
        line = {"color": theme.SURFACE[mode]["border"], "width": 6}
        figure.add_scatter(
            x=ends, y=[plain(name)] * len(ends), mode="lines", line=line, hoverinfo="skip", showlegend=False
        )
    lower = frame.groupby("name")["value"].transform("idxmin")  # of a gap within chance that may be the best
    for side, tone in (("worst", "bad"), ("best", "good")):
        rows = frame[frame["side"] == side]
        symbol = "triangle-up" if side == "best" else "triangle-down"
        figure.add_scatter(
            x=rows["value"],
            y=[plain(name) for name in rows["name"]],
            mode="markers+text",
            name=f"{side} in the half that chose",
            marker={"color": theme.SEMANTIC[mode][tone], "size": 14, "symbol": symbol},
            text=[f"  {plain(s, SHORT)} {v:.3f}  " for s, v in zip(rows["segment"], rows["value"], strict=True)],
            textposition=[f"middle {'left' if lower[at] == at else 'right'}" for at in rows.index],
            cliponaxis=False,
            customdata=[
                [n, d, plain(s)] for n, d, s in rows[["users", "dimension", "segment"]].itertuples(index=False)
            ],
            hovertemplate="%{y}: %{customdata[2]} %{x:.3f}, %{customdata[0]:,} users<extra></extra>",
        )
    low, high = float(frame["value"].min()), float(frame["value"].max())
    room = max(0.9 * (high - low), 0.02)  # for what stands beside the marks
    figure.update_xaxes(range=[low - room, high + room], nticks=5, title_text=metric)
    order = {"categoryorder": "array", "categoryarray": [plain(c) for c in columns][::-1]}
    figure.update_yaxes(range=[-0.6, len(columns) - 0.4], showgrid=False, **order)
    title = f"{metric} of the best and the worst served segment"
    plot = GAP_ROW * len(columns)
    figure = titled(figure, title, caption, mode, 110 + plot)
    return figure.update_layout(margin_b=96, legend={"y": -60 / plot, "yanchor": "top"})
