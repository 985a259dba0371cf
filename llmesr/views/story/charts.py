"""One chart per step of the story: few marks, large type, a title that says what is seen."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.config import COLD, EVERY_GROUP
from llmesr.data.groups import Thresholds
from llmesr.evaluation.statistics import FEW_USERS
from llmesr.prose import counted
from llmesr.views.shared import theme
from llmesr.views.shared.marks import SIGNED, plain, titled, upright, whiskers
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line

POINTS = 600
"""Points of the popularity curve: more are not seen."""
LINE = 60
"""Characters in a line of a caption: as many as a phone has room for."""
NAME = 44
"""Characters of a line of an item's name in a chart beside its text."""


def tail_chart(counts: np.ndarray, thresholds: Thresholds, caption: str, mode: Mode = "light") -> go.Figure:
    """Items from most to least chosen, head and tail in their colours. ``counts`` (N,) training interactions."""
    ordered = np.sort(counts)[::-1]
    head = int((~thresholds.tail_items(ordered)).sum())
    figure = go.Figure()
    for name, part, start in (("Head Item", ordered[: head + 1], 0), ("Tail Item", ordered[head:], head)):
        if not len(part):
            continue
        at = np.unique(np.linspace(0, len(part) - 1, POINTS).astype(int))
        color = theme.group_color(name, mode)
        figure.add_scatter(
            x=(start + at + 0.5) / len(ordered),
            y=part[at],
            mode="lines",
            line={"color": color, "width": 2, "shape": "hv"},
            fill="tozeroy",
            fillcolor=theme.translucent(color, 0.45),
            name=f"{name.split()[0]}: {_share(ordered, thresholds, name)}",
            hovertemplate="at %{x:.0%} of the items: %{y:,} interactions<extra></extra>",
        )
    figure.update_xaxes(
        title_text="share of items, most chosen first", tickformat=".0%", range=[0, 1], dtick=0.2, tick0=0
    )
    figure.update_yaxes(title_text="training interactions", rangemode="tozero")
    figure = _large(figure, "How often each item was chosen", caption, mode)
    legend = {"x": 0, "y": -0.22, "yanchor": "top", "orientation": "v"}  # below: on a phone it would cover the curve
    return figure.update_layout(legend=legend, margin_r=32)  # room for the last tick


def groups_chart(summary: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One configuration by group, in the groups' colours. ``summary``: group, value, low, high, users."""
    figure = go.Figure()
    for row in _in_order(summary).itertuples():
        color = theme.group_color(row.group, mode)
        figure.add_scatter(
            x=[row.value],
            y=[_tick(row.group, row.users)],
            error_x=whiskers(row.value, row.low, row.high, 4, color),
            mode="markers+text",
            text=[theme.scored(row.value, metric)],
            textposition="top center",
            marker={"color": color, "size": 18, "symbol": theme.GROUP_SYMBOLS.get(row.group, "circle")},
            cliponaxis=False,
            showlegend=False,
            customdata=[[row.group]],
            hovertemplate=f"{row.group}: %{{x:.3f}} [{row.low:.3f}, {row.high:.3f}]<extra></extra>",
        )
    figure.update_xaxes(range=_from_zero(summary), **_axis(metric))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _large(figure, f"{metric} by group, with 95% intervals", caption, mode)


def neighbours_chart(nearest: pd.DataFrame, caption: str, mode: Mode = "light") -> go.Figure:
    """The items nearest by text to one item. ``nearest``: item, title, similarity, interactions, tail."""
    colors = [theme.TAIL_COLOR[mode] if t else theme.HEAD_COLOR[mode] for t in nearest["tail"]]
    figure = go.Figure(
        go.Scatter(
            x=nearest["similarity"],
            y=list(range(len(nearest))),
            mode="markers",
            marker={"size": 18, "color": colors},
            customdata=nearest[["interactions", "item"]].to_numpy(),
            hovertemplate="similarity %{x:.2f}, chosen %{customdata[0]} times<extra></extra>",
        )
    )
    for place, row in enumerate(nearest.itertuples()):
        line = {"color": colors[place], "width": 3}
        figure.add_shape(type="line", x0=0, x1=row.similarity, y0=place, y1=place, line=line)
        lines = textwrap.wrap(one_line(row.title, 3 * NAME), NAME, max_lines=2, placeholder="…")
        group = "tail" if row.tail else "head"
        words = [*map(plain, lines), f"<i>{group}, {_times(row.interactions)}</i>"]
        said = {"text": "<br>".join(words), "align": "left", "font_size": 14}
        figure.add_annotation(x=0, y=place, showarrow=False, xanchor="left", yanchor="bottom", yshift=6, **said)
    figure.update_yaxes(visible=False, range=[len(nearest) - 0.5, -1])
    figure.update_xaxes(range=[0, 1.04], title_text="cosine similarity of the texts")
    return _large(figure, "The nearest items by text alone", caption, mode)


def gains_chart(comparison: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One configuration against another. ``comparison``: group, difference, low, high, significant, users."""
    figure = go.Figure()
    tones = theme.SEMANTIC[mode]
    for row in _in_order(comparison).itertuples():
        if not np.isfinite(row.difference):
            continue
        tone = tones["good" if row.difference > 0 else "bad"] if row.significant else theme.SURFACE[mode]["muted"]
        figure.add_scatter(
            x=[row.difference],
            y=[_tick(row.group, row.users)],
            error_x=whiskers(row.difference, row.low, row.high, 4, tone),
            mode="markers+text",
            text=[theme.signed(row.difference)],
            textposition="top center",
            marker={
                "size": 18,
                "color": tone if row.significant else theme.SURFACE[mode]["background"],
                "line": {"color": tone, "width": 3},
            },
            cliponaxis=False,
            showlegend=False,
            customdata=[[row.group]],
            hovertemplate=f"{row.group}: %{{x:+.3f}} [{theme.signed(row.low)}, {theme.signed(row.high)}]"
            "<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": theme.SURFACE[mode]["text"], "width": 1})
    difference = f"difference in {metric}"
    figure.update_xaxes(title_text=f"{difference} (right: better)", **SIGNED)
    figure.update_layout(upright(axis=f"{difference} (up: better)"))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _large(figure, "Gain by group; filled if p < .05", caption, mode)


def remaining_chart(
    summary: pd.DataFrame, labels: dict[str, str], metric: str, caption: str, mode: Mode = "light"
) -> go.Figure:
    """Several configurations by group, joined by a line per group. ``summary``: run, group, value, low, high, users."""
    figure = go.Figure()
    rows = _in_order(summary)
    ticks = {g: _tick(g, n) for g, n in zip(rows["group"], rows["users"], strict=True)}
    for group, part in rows.groupby("group", sort=False):
        figure.add_scatter(
            x=part["value"],
            y=[ticks[group]] * len(part),
            mode="lines",
            line={"color": theme.SURFACE[mode]["border"], "width": 5},
            showlegend=False,
            hoverinfo="skip",
        )
    for run in rows["run"].unique():
        part = rows[rows["run"] == run]
        figure.add_scatter(
            x=part["value"],
            y=[ticks[g] for g in part["group"]],
            mode="markers",
            name=plain(run),
            marker={"size": 18, "color": theme.method_color(labels[run], mode), "symbol": theme.symbol(labels[run])},
            cliponaxis=False,
            customdata=[[g] for g in part["group"]],
            hovertemplate="%{fullData.name}: %{x:.3f}<extra></extra>",
        )
    figure.update_xaxes(range=_from_zero(summary), **_axis(metric))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure = _large(figure, "Without and with text, by group", caption, mode)
    return figure.update_layout(legend={"y": -0.2, "yanchor": "top"})


def _axis(metric: str) -> dict[str, str]:
    """A hit rate is a share of users, and drawn as one."""
    if metric.startswith("HR"):
        return {"title_text": f"{metric}, share of the group's users", "tickformat": ".0%"}
    return {"title_text": f"{metric}, mean over the group's users"}


def _from_zero(summary: pd.DataFrame) -> list[float]:
    """An axis from zero with room for the marks at both ends."""
    most = max(float(summary[["value", "high"]].max().max()), 0.01)
    return [-0.06 * most, 1.08 * most]


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Groups that have users, in order; few cold items would set the scale of all, and stand in the table alone."""
    order = {g: i for i, g in enumerate(EVERY_GROUP)}
    small = (frame["group"] == COLD) & (frame["users"] < FEW_USERS)
    return frame[(frame["users"] > 0) & ~small].sort_values("group", key=lambda g: g.map(order), kind="stable")


def _tick(group: str, users: int) -> str:
    return f"<b>{group}</b><br>{counted(users, 'user')}"


def _times(interactions: int) -> str:
    return (
        "never chosen" if interactions == 0 else "chosen once" if interactions == 1 else f"chosen {interactions} times"
    )


def _share(counts: np.ndarray, thresholds: Thresholds, name: str) -> str:
    tail = thresholds.tail_items(counts)
    members = tail if name == "Tail Item" else ~tail
    share = theme.percent(counts[members].sum() / counts.sum())
    return f"{theme.percent(members.mean())} of items, {share} of interactions"


def _large(figure: go.Figure, title: str, caption: str, mode: Mode) -> go.Figure:
    """Type for a room. The chart stands beside its text, so its caption is broken early."""
    figure = titled(figure, title, caption, mode, 430, width=LINE)
    figure.update_layout(font_size=18, title_font_size=20, title_subtitle_font_size=14)
    figure.update_yaxes(tickfont_size=16, title_font_size=18)
    return figure.update_xaxes(tickfont_size=16, title_font_size=18)
