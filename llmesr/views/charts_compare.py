"""Charts that compare runs: frames in, plotly figures out. Dots with their 95% intervals, never bars of means.

Frames are long. ``run`` is a contender's unique name, ``label`` its ``method/backbone``, which decides colour, marker
and dash. Names are data: they are escaped before plotly, which reads a subset of HTML, sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmesr.config import GROUPS
from llmesr.views import theme
from llmesr.views.theme import Mode

ROW, HEADER = 30, 120
"""Pixels per contender in a dot plot, and for title and axis."""
LONGEST = 60
OUTCOMES = {"gained": "good", "same": "muted", "lost": "bad"}


def plain(text: object, longest: int = LONGEST) -> str:
    """``text`` so that plotly shows it as it is: no markup, one line, cut to ``longest`` characters."""
    line = " ".join(str(text).replace("\x00", "\ufffd").split())
    return escape(line if len(line) <= longest else line[: longest - 1] + "…", quote=False)


def group_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One panel per group, one dot with its interval per contender.

    ``frame``: run, label, group, value, low, high, users.
    """
    figure = _panels(frame, mode)
    _forest(figure, frame, mode, hover="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]")
    figure.update_xaxes(rangemode="tozero", nticks=4, tickformat=".2~f")
    return _titled(figure, f"{metric} by group, with 95% intervals", caption, mode, _height(frame))


def difference_chart(frame: pd.DataFrame, metric: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Gain over ``reference`` by group; a filled marker where the corrected test finds a difference.

    ``frame``: run, label, group, value (the difference), low, high, significant, users.
    """
    figure = _panels(frame, mode)
    _forest(
        figure,
        frame,
        mode,
        hover="%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]",
        filled=frame["significant"],
    )
    figure.update_xaxes(nticks=4, tickformat="+.2~f")
    figure.add_vline(x=0, line={"color": theme.SURFACE[mode]["muted"], "width": 1})
    title = f"Gain in {metric} over {plain(reference)}: left of the line is worse, right is better"
    return _titled(figure, title, f"{caption} Filled: p < .05 after correction.", mode, _height(frame))


def bucket_chart(frame: pd.DataFrame, metric: str, dimension: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Accuracy over at most five buckets. ``frame``: run, label, group (bucket, in order), value, low, high, users."""
    titles = {
        "popularity": ("rarer to more popular targets", "training interactions of the held-out item"),
        "length": ("shorter to longer histories", "training interactions of the user"),
    }
    what, axis = titles[dimension]
    buckets = list(dict.fromkeys(frame["group"]))
    names = list(dict.fromkeys(frame["run"]))
    figure = go.Figure()
    for i, name in enumerate(names):
        rows = frame[frame["run"] == name].set_index("group").reindex(buckets)
        label = str(frame.loc[frame["run"] == name, "label"].iloc[0])
        offset = (i - (len(names) - 1) / 2) * min(0.07, 0.5 / max(len(names), 1))
        figure.add_scatter(
            x=np.arange(len(buckets)) + offset,
            y=rows["value"],
            error_y=_whiskers(rows, 1.2),
            mode="lines+markers",
            name=plain(name),
            line={"color": theme.method_color(label, mode), "dash": theme.dash(label), "width": 2},
            marker={"symbol": theme.symbol(label), "size": 9},
            customdata=np.stack([rows["low"], rows["high"], rows["users"]], 1),
            hovertemplate="%{fullData.name}<br>%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
            "<br>%{customdata[2]:,} users<extra></extra>",
        )
    users = frame.drop_duplicates("group").set_index("group")["users"].reindex(buckets)
    ticks = [f"{plain(b)}<br>{theme.count(n)} users" for b, n in zip(buckets, users, strict=True)]
    figure.update_xaxes(tickvals=list(range(len(buckets))), ticktext=ticks, title_text=axis, showgrid=False)
    figure.update_yaxes(rangemode="tozero", title_text=metric)
    figure = _titled(figure, f"{metric} from {what}", caption, mode, 440)
    return figure.update_layout(legend={"y": -0.3, "yanchor": "top"})


def trade_off_chart(frame: pd.DataFrame, metric: str, exposure: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Accuracy against tail exposure, a point per contender. ``frame``: run, label, accuracy, low, high, exposure."""
    figure = go.Figure()
    for row in frame.itertuples():
        figure.add_scatter(
            x=[row.exposure],
            y=[row.accuracy],
            error_y=_whiskers(pd.DataFrame({"value": [row.accuracy], "low": [row.low], "high": [row.high]}), 1.2),
            mode="markers",
            name=plain(row.run),
            marker=_marker(row.label, mode, 13),
            hovertemplate=f"%{{fullData.name}}<br>{metric} %{{y:.3f}}<br>tail share %{{x:.1%}}<extra></extra>",
        )
    figure.update_xaxes(
        rangemode="tozero", tickformat=".0%", title_text=f"share of tail items in the lists ({exposure})"
    )
    figure.update_yaxes(rangemode="tozero", title_text=f"{metric}, all users")
    figure = _titled(figure, "Accuracy against exposure of the tail: up and right is better", caption, mode, 440)
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


def seesaw_chart(frame: pd.DataFrame, metric: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Gain on tail items against gain on head items over ``reference``.

    ``frame``: run, label, and for side head and tail: {side}, {side}_low, {side}_high.
    """
    figure = go.Figure()
    for row in frame.itertuples():
        one = {
            s: pd.DataFrame([[getattr(row, s), getattr(row, f"{s}_low"), getattr(row, f"{s}_high")]]) for s in _SIDES
        }
        figure.add_scatter(
            x=[row.head],
            y=[row.tail],
            error_x=_whiskers(one["head"].set_axis(["value", "low", "high"], axis=1), 1.2),
            error_y=_whiskers(one["tail"].set_axis(["value", "low", "high"], axis=1), 1.2),
            mode="markers",
            name=plain(row.run),
            marker=_marker(row.label, mode, 13),
            hovertemplate="%{fullData.name}<br>tail items %{y:+.3f}<br>head items %{x:+.3f}<extra></extra>",
        )
    muted = theme.SURFACE[mode]["muted"]
    figure.add_hline(y=0, line={"color": muted, "width": 1})
    figure.add_vline(x=0, line={"color": muted, "width": 1})
    for text, x, y, xanchor, yanchor in _CORNERS:
        place = {"x": x, "y": y, "xanchor": xanchor, "yanchor": yanchor, "xref": "paper", "yref": "paper"}
        figure.add_annotation(text=text, showarrow=False, font={"color": muted, "size": 12}, **place)
    x, y = (_reach(frame, s) for s in _SIDES)
    figure.update_xaxes(range=[-x, x], tickformat="+.2~f", title_text=f"gain on head items ({metric})")
    figure.update_yaxes(range=[-y, y], tickformat="+.2~f", title_text=f"gain on tail items ({metric})")
    figure = _titled(figure, f"Who pays? Gains on tail and head items over {plain(reference)}", caption, mode, 440)
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


def outcome_chart(frame: pd.DataFrame, name: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Share of users who gained, saw no change, or lost. ``frame``: group, gained, same, lost (shares), users."""
    figure = go.Figure()
    colors = {**theme.SEMANTIC[mode], "muted": theme.SURFACE[mode]["border"]}
    groups = [g for g in GROUPS if g in set(frame["group"])][::-1]
    rows = frame.set_index("group").reindex(groups)
    for outcome, tone in OUTCOMES.items():
        figure.add_bar(
            y=groups,
            x=rows[outcome],
            orientation="h",
            name=outcome,
            marker={"color": colors[tone]},
            text=[theme.percent(v) if v >= 0.04 else "" for v in rows[outcome]],
            textposition="inside",
            insidetextanchor="middle",
            customdata=rows["users"],
            hovertemplate="%{y}: %{x:.1%} of %{customdata:,} users " + outcome + "<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(tickformat=".0%", range=[0, 1], title_text="share of the group's users")
    figure = _titled(figure, f"Users who gained or lost with {plain(name)} over {plain(reference)}", caption, mode, 340)
    return figure.update_layout(legend={"y": -0.3, "yanchor": "top", "traceorder": "normal"})


def beyond_chart(frame: pd.DataFrame, caption: str, mode: Mode = "light") -> go.Figure:
    """A panel per beyond-accuracy metric, a dot per contender. ``frame``: run, label, metric, value."""
    metrics = list(dict.fromkeys(frame["metric"]))
    names = list(dict.fromkeys(frame["run"]))
    columns = min(4, max(1, len(metrics)))
    lines = -(-len(metrics) // columns)
    figure = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=metrics,
        horizontal_spacing=0.03,
        vertical_spacing=min(0.24, 0.9 / max(lines, 1)),
    )
    for i, metric in enumerate(metrics):
        rows = frame[frame["metric"] == metric]
        figure.add_scatter(
            x=rows["value"],
            y=[plain(n) for n in rows["run"]],
            mode="markers",
            marker=_markers(rows["label"], mode, 11),
            hovertemplate=f"%{{y}}<br>{metric} %{{x:.3f}}<extra></extra>",
            showlegend=False,
            row=i // columns + 1,
            col=i % columns + 1,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=[plain(n) for n in names][::-1])
    figure.update_xaxes(rangemode="tozero", nticks=4)
    height = HEADER + 40 + lines * (60 + ROW * len(names))
    return _titled(figure, "Beyond accuracy: what the lists are like", caption, mode, height)


_SIDES = ("head", "tail")
_CORNERS = (
    ("tail and head gain", 0.99, 0.99, "right", "top"),
    ("tail gains, head pays", 0.01, 0.99, "left", "top"),
    ("head gains, tail pays", 0.99, 0.01, "right", "bottom"),
    ("tail and head lose", 0.01, 0.01, "left", "bottom"),
)


def _panels(frame: pd.DataFrame, mode: Mode) -> go.Figure:
    """Empty panels side by side, one per group of ``frame``, each headed by the group and its number of users."""
    groups = _groups(frame)
    users = frame.drop_duplicates("group").set_index("group")["users"]
    heads = [f"{g}<br><span style='font-size:12px'>{theme.count(users[g])} users</span>" for g in groups]
    figure = make_subplots(rows=1, cols=len(groups), shared_yaxes=True, subplot_titles=heads, horizontal_spacing=0.02)
    for note, group in zip(figure.layout.annotations, groups, strict=True):
        note.font = {"size": 14, "color": theme.group_color(group, mode)}
    return figure


def _forest(
    figure: go.Figure, frame: pd.DataFrame, mode: Mode, *, hover: str, filled: Sequence[bool] | pd.Series | None = None
) -> None:
    names = list(dict.fromkeys(frame["run"]))
    filled = pd.Series(True, frame.index) if filled is None else pd.Series(filled, frame.index)
    for column, group in enumerate(_groups(frame), start=1):
        for name in names:
            rows = frame[(frame["group"] == group) & (frame["run"] == name)]
            if rows.empty or rows["value"].isna().all():
                continue
            label = str(rows["label"].iloc[0])
            figure.add_scatter(
                x=rows["value"],
                y=[plain(name)],
                error_x=_whiskers(rows, 2),
                mode="markers",
                marker=_marker(label, mode, 11, filled=bool(filled[rows.index].all())),
                customdata=np.stack([rows["low"], rows["high"]], 1),
                hovertemplate=f"%{{y}}<br>{group}: {hover}<extra></extra>",
                showlegend=False,
                row=1,
                col=column,
            )
    figure.update_yaxes(categoryorder="array", categoryarray=[plain(n) for n in names][::-1])
    figure.update_yaxes(range=[-0.6, len(names) - 0.4], showgrid=False)


def _groups(frame: pd.DataFrame) -> list[str]:
    there = list(dict.fromkeys(frame["group"]))
    return [g for g in GROUPS if g in there] or there


def _whiskers(rows: pd.DataFrame, thickness: float) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows["high"] - rows["value"]).clip(lower=0).to_numpy(),
        "arrayminus": (rows["value"] - rows["low"]).clip(lower=0).to_numpy(),
        "thickness": thickness,
        "width": 0,
    }


def _marker(label: str, mode: Mode, size: int, *, filled: bool = True) -> dict[str, Any]:
    color, shape = theme.method_color(label, mode), theme.symbol(label)
    background = theme.SURFACE[mode]["background"]
    return {
        "symbol": shape,
        "size": size,
        "color": color if filled else background,
        "line": {"color": color, "width": 2 if shape.endswith("open") or not filled else 0},
    }


def _markers(labels: pd.Series, mode: Mode, size: int) -> dict[str, Any]:
    return {
        "symbol": [theme.symbol(label) for label in labels],
        "color": [theme.method_color(label, mode) for label in labels],
        "size": size,
    }


def _reach(frame: pd.DataFrame, side: str) -> float:
    """Half the width of an axis that is symmetric around zero and holds every interval."""
    values = frame[[side, f"{side}_low", f"{side}_high"]].to_numpy(float)
    return 1.15 * float(np.nanmax(np.abs(values), initial=0.01))


def _height(frame: pd.DataFrame) -> int:
    return HEADER + 30 + ROW * frame["run"].nunique()


def _titled(figure: go.Figure, title: str, caption: str, mode: Mode, height: int) -> go.Figure:
    figure = theme.finish(figure, mode, height=height, title=title)
    # The definition travels with the picture when it is saved as PNG or SVG.
    muted = theme.SURFACE[mode]["muted"]
    return figure.update_layout(title_subtitle={"text": plain(caption, 400), "font": {"size": 12, "color": muted}})
