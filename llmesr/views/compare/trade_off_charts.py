"""Charts of what is won and what is lost: tail against head, accuracy against exposure, users, the lists.

Frames as in :mod:`views.compare.charts`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmesr.config import EVERY_GROUP
from llmesr.views.compare.charts import ROW
from llmesr.views.shared import theme
from llmesr.views.shared.marks import (
    BESIDE,
    LINE,
    NARROW,
    SIGNED,
    beside,
    legend_below,
    marker,
    markers,
    plain,
    titled,
    variants_of,
    whiskers,
)
from llmesr.views.shared.theme import Mode

OUTCOMES = {
    "gained": ("good", "gained"),
    "same": ("same", "found alike by both"),
    "missed": ("missed", "missed by both"),
    "lost": ("bad", "lost"),
}
"""Column -> (colour, name)."""
LISTS = {
    "Coverage": "share of items<br>ever shown",
    "Gini": "0 all shown equally,<br>1 only one",
    "ARP": "mean popularity<br>of items",
    "APLT": "share of tail items",
    "Novelty": "surprise in bits",
    "ILD": "variety by text,<br>0 to 1",
}
"""What each metric of the lists is, short enough to stand over its panel."""


def trade_off_chart(frame: pd.DataFrame, metric: str, exposure: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Accuracy against tail exposure, a point per contender. ``frame``: run, label, accuracy, low, high, exposure."""
    figure, variants = go.Figure(), variants_of(frame)
    for row in frame.itertuples():
        figure.add_scatter(
            x=[row.exposure],
            y=[row.accuracy],
            error_y=whiskers(row.accuracy, row.low, row.high, 1.2),
            mode="markers",
            name=plain(row.run, BESIDE),
            marker=marker(row.label, mode, 13, variant=variants[row.run]),
            cliponaxis=False,
            customdata=[[plain(row.run)]],
            hovertemplate=f"%{{fullData.name}}<br>{metric} %{{y:.3f}}<br>tail share %{{x:.1%}}<extra></extra>",
        )
    most = max(float(frame["exposure"].max()), 0.01)
    figure.update_xaxes(
        range=[-0.04 * most, 1.08 * most], tickformat=".0%", title_text=f"share of tail items in the lists ({exposure})"
    )
    figure.update_yaxes(rangemode="tozero", title_text=f"{metric}, all users")
    figure = titled(figure, "Accuracy against exposure of the tail", caption, mode, 340, width=NARROW)
    return legend_below(figure)


def seesaw_chart(frame: pd.DataFrame, metric: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Gain on tail items against gain on head items over ``reference``.

    ``frame``: run, label, and for side head and tail: {side}, {side}_low, {side}_high.
    """
    figure, variants = go.Figure(), variants_of(frame)
    for row in frame.itertuples():
        figure.add_scatter(
            x=[row.head],
            y=[row.tail],
            error_x=whiskers(row.head, row.head_low, row.head_high, 1.2),
            error_y=whiskers(row.tail, row.tail_low, row.tail_high, 1.2),
            mode="markers",
            name=plain(row.run, BESIDE),
            marker=marker(row.label, mode, 13, variant=variants[row.run]),
            cliponaxis=False,
            customdata=[[plain(row.run)]],
            hovertemplate="%{fullData.name}<br>tail items %{y:+.3f}<br>head items %{x:+.3f}<extra></extra>",
        )
    muted = theme.SURFACE[mode]["muted"]
    figure.add_hline(y=0, line={"color": muted, "width": 1})
    figure.add_vline(x=0, line={"color": muted, "width": 1})
    for text, x, y, xanchor, yanchor in _CORNERS:
        place = {"x": x, "y": y, "xanchor": xanchor, "yanchor": yanchor, "xref": "paper", "yref": "paper"}
        figure.add_annotation(text=text, showarrow=False, font={"color": muted, "size": 12}, **place)
    x, y = (_reach(frame, s) for s in _SIDES)
    figure.update_xaxes(range=[-x, x], **SIGNED, title_text=f"gain on head items ({metric})")
    figure.update_yaxes(range=[-y, y], **SIGNED, title_text=f"gain on tail items ({metric})")
    title = f"Trade-offs: gains over {plain(reference)}"
    figure = titled(figure, title, caption, mode, 340, width=NARROW)
    return legend_below(figure)


def outcome_chart(frame: pd.DataFrame, name: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Share of users who gained, whom both reach alike or miss, and who lost.

    ``frame``: group, gained, same, missed, lost (shares), users.
    """
    figure = go.Figure()
    surface = theme.SURFACE[mode]
    colors = {**theme.SEMANTIC[mode], "same": surface["border"], "missed": surface["muted"]}
    groups = [g for g in EVERY_GROUP if g in set(frame["group"])][::-1]
    rows = frame.set_index("group").reindex(groups)
    for outcome, (tone, name_of_it) in OUTCOMES.items():
        figure.add_bar(
            y=[f"{g} ({theme.count(n)})" for g, n in zip(groups, rows["users"], strict=True)],
            x=rows[outcome],
            orientation="h",
            name=name_of_it,
            # A line of the page between parts: what was missed and lost are alike in lightness.
            marker={"color": colors[tone], "line": {"color": surface["background"], "width": 1}},
            text=[theme.percent(v) if v >= 0.03 else "" for v in rows[outcome]],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"size": 13, "color": surface["text" if outcome == "same" else "background"]},
            textangle=0,
            customdata=[[users, outcome, group] for users, group in zip(rows["users"], groups, strict=True)],
            hovertemplate="%{y}: %{x:.1%} of %{customdata[0]:,} users: " + name_of_it + "<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.3)
    figure.update_xaxes(tickformat=".0%", range=[0, 1], dtick=0.25, title_text="share of the group's users")
    title = f"Users who gained or lost with {plain(name)} over {plain(reference)}"
    figure = titled(figure, title, caption, mode, 290)
    return figure.update_layout(margin_r=24, legend={"y": -0.26, "yanchor": "top", "traceorder": "normal"})


def beyond_chart(frame: pd.DataFrame, caption: str, mode: Mode = "light") -> go.Figure:
    """A panel per beyond-accuracy metric, a dot per contender. ``frame``: run, label, metric, value."""
    metrics = list(dict.fromkeys(frame["metric"]))
    names = list(dict.fromkeys(frame["run"]))
    columns = min(3, max(1, len(metrics)))
    lines = -(-len(metrics) // columns)
    height = lines * (96 + ROW * len(names))
    figure = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=[_lists_heading(metric, mode) for metric in metrics],
        horizontal_spacing=0.04,
        vertical_spacing=96 / height if lines > 1 else 0,
    ).update_annotations(font={"size": 14, "color": theme.SURFACE[mode]["text"]})
    for i, metric in enumerate(metrics):
        rows = frame[frame["metric"] == metric]
        figure.add_scatter(
            x=rows["value"],
            y=[plain(n) for n in rows["run"]],
            mode="markers",
            marker=markers(rows["label"], mode, 11),
            cliponaxis=False,
            customdata=[[plain(n)] for n in rows["run"]],
            hovertemplate=f"%{{y}}<br>{metric} %{{x:.3f}}<extra></extra>",
            showlegend=False,
            row=i // columns + 1,
            col=i % columns + 1,
        )
        most = max(float(rows["value"].max()), 0.01)
        at = {"row": i // columns + 1, "col": i % columns + 1}
        figure.update_xaxes(range=[-0.06 * most, 1.1 * most], nticks=4, zeroline=True, **at)
    figure.update_yaxes(**beside(names))
    figure = titled(figure, "Beyond accuracy: what the lists are like", caption, mode, height, panels=True)
    # What a metric means takes a line more than the name of a panel elsewhere.
    return figure.update_layout(margin_t=figure.layout.margin.t + LINE, height=figure.layout.height + LINE)


def _lists_heading(metric: str, mode: Mode) -> str:
    meaning = LISTS.get(metric.split("@")[0], "")
    muted = theme.SURFACE[mode]["muted"]
    return f"{plain(metric)}<br><span style='font-size:12px;color:{muted}'>{meaning}</span>" if meaning else metric


_SIDES = ("head", "tail")
_CORNERS = (
    ("tail and head gain", 0.99, 0.99, "right", "top"),
    ("tail gains, head loses", 0.01, 0.99, "left", "top"),
    ("head gains, tail loses", 0.99, 0.01, "right", "bottom"),
    ("tail and head lose", 0.01, 0.01, "left", "bottom"),
)


def _reach(frame: pd.DataFrame, side: str) -> float:
    """Half the width of an axis that is symmetric around zero and holds every interval."""
    values = frame[[side, f"{side}_low", f"{side}_high"]].to_numpy(float)
    return 1.15 * float(np.nanmax(np.abs(values), initial=0.01))
