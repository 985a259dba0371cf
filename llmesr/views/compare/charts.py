"""Charts that compare runs: frames in, plotly figures out. Dots with their 95% intervals, never bars of means.

Frames are long. ``run`` is a contender's unique name, ``label`` its ``method/backbone``, which decides colour, marker
and dash. Names are data: they are escaped before plotly, which reads a subset of HTML, sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmesr.config import GROUPS
from llmesr.views.shared import theme
from llmesr.views.shared.marks import NARROW, dash, marker, markers, plain, titled, variants_of, whiskers
from llmesr.views.shared.theme import Mode

ROW = 30
"""Pixels per contender in a dot plot."""
GAP = 0.03
"""Space between its panels, as a share of the width."""
OUTCOMES = {"gained": ("good", "gained"), "same": ("muted", "no change"), "lost": ("bad", "lost")}
"""Column -> (colour, name)."""
LISTS = {
    "Coverage": "share of items ever shown",
    "Gini": "0 all shown alike, 1 only one",
    "ARP": "mean popularity of items",
    "APLT": "share of tail items",
    "Novelty": "surprise in bits",
    "ILD": "variety by text, 0 to 1",
}
"""What each metric of the lists is, short enough to stand over its panel."""
_SIGNED = {"tickformat": "+.2~f", "labelalias": {"+0": "0", "\u22120": "0"}}


def group_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One panel per group, one dot with its interval per contender.

    ``frame``: run, label, group, value, low, high, users.
    """
    most = max(float(frame[["value", "high"]].max().max()), 0.01)
    axis = {"range": [-0.05 * most, 1.05 * most], "nticks": 3, "tickformat": ".2~f"}
    figure = _forest(frame, mode, metric, axis, hover="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]")
    return _headed(figure, f"{metric} by group, with 95% intervals", caption, mode, frame)


def difference_chart(frame: pd.DataFrame, metric: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Gain over ``reference`` by group; a filled marker where the corrected test finds a difference.

    ``frame``: run, label, group, difference, low, high, significant, users.
    """
    zero = {"zeroline": True, "zerolinecolor": theme.SURFACE[mode]["muted"], "zerolinewidth": 1}
    figure = _forest(
        frame.rename(columns={"difference": "value"}),
        mode,
        f"difference in {metric}",
        {"nticks": 3, "rangemode": "tozero", **_SIGNED, **zero},
        hover="%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]",
        filled=frame["significant"],
    )
    title = f"Gain in {metric} over {plain(reference)}: left of the line is worse, right is better"
    return _headed(figure, title, f"{caption} Filled: p < .05 after correction.", mode, frame)


def bucket_chart(frame: pd.DataFrame, metric: str, dimension: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Accuracy over at most five buckets. ``frame``: run, label, group (bucket, in order), value, low, high, users."""
    titles = {
        "popularity": ("rarer to more popular targets", "training interactions of the held-out item"),
        "length": ("shorter to longer histories", "training interactions of the user"),
    }
    what, axis = titles[dimension]
    buckets = list(dict.fromkeys(frame["group"]))
    variants = variants_of(frame)
    names = list(variants)
    figure = go.Figure()
    for i, name in enumerate(names):
        rows = frame[frame["run"] == name].set_index("group").reindex(buckets)
        label = str(frame.loc[frame["run"] == name, "label"].iloc[0])
        offset = (i - (len(names) - 1) / 2) * min(0.07, 0.5 / max(len(names), 1))
        figure.add_scatter(
            x=np.arange(len(buckets)) + offset,
            y=rows["value"],
            error_y=whiskers(rows["value"], rows["low"], rows["high"], 1.2),
            mode="lines+markers",
            name=plain(name),
            line={"color": theme.method_color(label, mode), "dash": dash(label, variants[name]), "width": 2},
            marker=marker(label, mode, 9, variant=variants[name]),
            cliponaxis=False,
            customdata=np.stack([rows["low"], rows["high"], rows["users"]], 1),
            hovertemplate="%{fullData.name}<br>%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
            "<br>%{customdata[2]:,} users<extra></extra>",
        )
    users = frame.drop_duplicates("group").set_index("group")["users"].reindex(buckets)
    ticks = [f"{plain(b)}<br>{theme.count(n)} users" for b, n in zip(buckets, users, strict=True)]
    figure.update_xaxes(
        tickvals=list(range(len(buckets))), ticktext=ticks, title_text=axis, showgrid=False, zeroline=False
    )
    figure.update_yaxes(rangemode="tozero", title_text=metric)
    figure = titled(figure, f"{metric} from {what}", caption, mode, 340, width=NARROW)
    return figure.update_layout(legend={"y": -0.3, "yanchor": "top"})


def trade_off_chart(frame: pd.DataFrame, metric: str, exposure: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Accuracy against tail exposure, a point per contender. ``frame``: run, label, accuracy, low, high, exposure."""
    figure, variants = go.Figure(), variants_of(frame)
    for row in frame.itertuples():
        figure.add_scatter(
            x=[row.exposure],
            y=[row.accuracy],
            error_y=whiskers(row.accuracy, row.low, row.high, 1.2),
            mode="markers",
            name=plain(row.run),
            marker=marker(row.label, mode, 13, variant=variants[row.run]),
            cliponaxis=False,
            hovertemplate=f"%{{fullData.name}}<br>{metric} %{{y:.3f}}<br>tail share %{{x:.1%}}<extra></extra>",
        )
    most = max(float(frame["exposure"].max()), 0.01)
    figure.update_xaxes(
        range=[-0.04 * most, 1.08 * most], tickformat=".0%", title_text=f"share of tail items in the lists ({exposure})"
    )
    figure.update_yaxes(rangemode="tozero", title_text=f"{metric}, all users")
    figure = titled(
        figure, "Accuracy against exposure of the tail: up and right is better", caption, mode, 340, width=NARROW
    )
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


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
            name=plain(row.run),
            marker=marker(row.label, mode, 13, variant=variants[row.run]),
            cliponaxis=False,
            hovertemplate="%{fullData.name}<br>tail items %{y:+.3f}<br>head items %{x:+.3f}<extra></extra>",
        )
    muted = theme.SURFACE[mode]["muted"]
    figure.add_hline(y=0, line={"color": muted, "width": 1})
    figure.add_vline(x=0, line={"color": muted, "width": 1})
    for text, x, y, xanchor, yanchor in _CORNERS:
        place = {"x": x, "y": y, "xanchor": xanchor, "yanchor": yanchor, "xref": "paper", "yref": "paper"}
        figure.add_annotation(text=text, showarrow=False, font={"color": muted, "size": 12}, **place)
    x, y = (_reach(frame, s) for s in _SIDES)
    figure.update_xaxes(range=[-x, x], **_SIGNED, title_text=f"gain on head items ({metric})")
    figure.update_yaxes(range=[-y, y], **_SIGNED, title_text=f"gain on tail items ({metric})")
    title = f"Who pays? Gains over {plain(reference)}"
    figure = titled(figure, title, caption, mode, 340, width=NARROW)
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


def outcome_chart(frame: pd.DataFrame, name: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Share of users who gained, saw no change, or lost. ``frame``: group, gained, same, lost (shares), users."""
    figure = go.Figure()
    colors = {**theme.SEMANTIC[mode], "muted": theme.SURFACE[mode]["border"]}
    groups = [g for g in GROUPS if g in set(frame["group"])][::-1]
    rows = frame.set_index("group").reindex(groups)
    for outcome, (tone, name_of_it) in OUTCOMES.items():
        figure.add_bar(
            y=[f"{g} ({theme.count(n)})" for g, n in zip(groups, rows["users"], strict=True)],
            x=rows[outcome],
            orientation="h",
            name=name_of_it,
            marker={"color": colors[tone]},
            text=[theme.percent(v) if v >= 0.03 else "" for v in rows[outcome]],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"size": 13, "color": theme.SURFACE[mode]["text" if outcome == "same" else "background"]},
            textangle=0,
            customdata=rows["users"],
            hovertemplate="%{y}: %{x:.1%} of %{customdata:,} users: " + name_of_it + "<extra></extra>",
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
    height = lines * (80 + ROW * len(names))
    figure = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=[_lists_heading(metric, mode) for metric in metrics],
        horizontal_spacing=0.04,
        vertical_spacing=80 / height if lines > 1 else 0,
    ).update_annotations(font={"size": 14, "color": theme.SURFACE[mode]["text"]})
    for i, metric in enumerate(metrics):
        rows = frame[frame["metric"] == metric]
        figure.add_scatter(
            x=rows["value"],
            y=[plain(n) for n in rows["run"]],
            mode="markers",
            marker=markers(rows["label"], mode, 11),
            cliponaxis=False,
            hovertemplate=f"%{{y}}<br>{metric} %{{x:.3f}}<extra></extra>",
            showlegend=False,
            row=i // columns + 1,
            col=i % columns + 1,
        )
        most = max(float(rows["value"].max()), 0.01)
        at = {"row": i // columns + 1, "col": i % columns + 1}
        figure.update_xaxes(range=[-0.06 * most, 1.1 * most], nticks=4, zeroline=True, **at)
    figure.update_yaxes(categoryorder="array", categoryarray=[plain(n) for n in names][::-1])
    return titled(figure, "Beyond accuracy: what the lists are like", caption, mode, height, panels=True)


def _lists_heading(metric: str, mode: Mode) -> str:
    meaning = LISTS.get(metric.split("@")[0], "")
    muted = theme.SURFACE[mode]["muted"]
    return f"{plain(metric)}<br><span style='font-size:12px;color:{muted}'>{meaning}</span>" if meaning else metric


_SIDES = ("head", "tail")


_CORNERS = (
    ("tail and head gain", 0.99, 0.99, "right", "top"),
    ("tail gains, head pays", 0.01, 0.99, "left", "top"),
    ("head gains, tail pays", 0.99, 0.01, "right", "bottom"),
    ("tail and head lose", 0.01, 0.01, "left", "bottom"),
)


def _forest(
    frame: pd.DataFrame,
    mode: Mode,
    title: str,
    axis: dict[str, Any],
    *,
    hover: str,
    filled: Sequence[bool] | pd.Series | None = None,
) -> go.Figure:
    """Panels side by side, one per group of ``frame``, with a dot and its interval per contender.

    ``axis`` is said of every x axis; the middle one carries ``title``. Written down as one layout: plotly's helpers
    for panels check every property again at each step, which a moved slider would wait for.
    """
    known = frame.assign(filled=True if filled is None else filled).dropna(subset="value")
    names = [plain(n) for n in dict.fromkeys(frame["run"])]
    groups = _groups(frame)
    users = frame.drop_duplicates("group").set_index("group")["users"]
    width = (1 - GAP * (len(groups) - 1)) / len(groups)
    rows = {"categoryorder": "array", "categoryarray": names[::-1], "range": [-0.6, len(names) - 0.4]}
    layout: dict[str, Any] = {"annotations": []}
    for i, group in enumerate(groups):
        at, left = str(i + 1) if i else "", i * (width + GAP)
        layout[f"xaxis{at}"] = {"domain": [left, min(left + width, 1)], "anchor": f"y{at}", **axis}
        layout[f"yaxis{at}"] = {"anchor": f"x{at}", "showgrid": False, **rows}
        if i:
            layout[f"xaxis{at}"]["matches"] = "x"
            layout[f"yaxis{at}"] |= {"matches": "y", "showticklabels": False}
        if i == len(groups) // 2:
            layout[f"xaxis{at}"]["title"] = {"text": title}
        layout["annotations"].append(_heading(group, users[group], left + width / 2, mode))
    traces = [
        _dots(known[known["group"] == g], mode, i, f"%{{y}}<br>{g}: {hover}<extra></extra>", telling=filled is not None)
        for i, g in enumerate(groups, start=1)
    ]
    return go.Figure(traces, layout)


def _heading(group: str, users: int, x: float, mode: Mode) -> dict[str, Any]:
    """What stands over a panel: the group and its number of users."""
    return {
        "text": f"{group}<br><span style='font-size:12px'>{theme.count(users)} users</span>",
        "font": {"size": 14, "color": theme.SURFACE[mode]["text"]},
        "showarrow": False,
        **{"x": x, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom"},
    }


def _dots(rows: pd.DataFrame, mode: Mode, panel: int, hover: str, *, telling: bool) -> go.Scatter:
    told = zip(rows["label"], rows["filled"], strict=True)
    drawn = [marker(label, mode, 11, filled=filled, telling=telling) for label, filled in told]
    shape = {key: [d[key] for d in drawn] for key in ("symbol", "size", "color")}
    line = {key: [d["line"][key] for d in drawn] for key in ("color", "width")}
    at = "" if panel == 1 else str(panel)
    return go.Scatter(
        x=rows["value"],
        y=[plain(r) for r in rows["run"]],
        xaxis=f"x{at}",
        yaxis=f"y{at}",
        error_x=whiskers(rows["value"], rows["low"], rows["high"], 2, theme.SURFACE[mode]["muted"]),
        mode="markers",
        cliponaxis=False,
        marker={**shape, "line": line},
        customdata=rows[["low", "high"]].to_numpy(),
        hovertemplate=hover,
        showlegend=False,
    )


def _groups(frame: pd.DataFrame) -> list[str]:
    there = list(dict.fromkeys(frame["group"]))
    return [g for g in GROUPS if g in there] or there


def _reach(frame: pd.DataFrame, side: str) -> float:
    """Half the width of an axis that is symmetric around zero and holds every interval."""
    values = frame[[side, f"{side}_low", f"{side}_high"]].to_numpy(float)
    return 1.15 * float(np.nanmax(np.abs(values), initial=0.01))


def _headed(figure: go.Figure, title: str, caption: str, mode: Mode, frame: pd.DataFrame) -> go.Figure:
    return titled(figure, title, caption, mode, 60 + ROW * frame["run"].nunique(), panels=True)
