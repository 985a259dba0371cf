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

from llmesr.config import COLD, EVERY_GROUP
from llmesr.evaluation.statistics import FEW_USERS
from llmesr.prose import counted
from llmesr.views.shared import theme
from llmesr.views.shared.marks import (
    BESIDE,
    DOT,
    NARROW,
    SIGNED,
    beside,
    dash,
    heading,
    legend_below,
    marker,
    plain,
    titled,
    upright,
    variants_of,
    whiskers,
)
from llmesr.views.shared.theme import Mode

ROW = 30
"""Pixels per contender in a dot plot."""
GAP = 0.04
"""Space between its panels, as a share of the width."""
ROOM = 0.4
"""So far from zero, as a share of the longer side of an axis of differences, a label does not touch that of zero."""


def group_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """One panel per group, one dot with its interval per contender.

    ``frame``: run, label, group, value, low, high, users.
    """
    frame, caption = large_enough(frame, caption)
    most = max(float(frame[["value", "high"]].max().max()), 0.01)
    axis = {"range": [-0.05 * most, 1.05 * most], "nticks": 3, "tickformat": ".2~f"}
    return _forest(
        frame,
        mode,
        metric,
        axis,
        _heading(f"{metric} by group, with 95% intervals", caption, mode, frame),
        hover="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )


def difference_chart(frame: pd.DataFrame, metric: str, reference: str, caption: str, mode: Mode = "light") -> go.Figure:
    """Gain over ``reference`` by group; a filled marker where the corrected test finds a difference.

    ``frame``: run, label, group, difference, low, high, significant, users.
    """
    frame, caption = large_enough(frame, caption)
    zero = {"zeroline": True, "zerolinecolor": theme.SURFACE[mode]["muted"], "zerolinewidth": 1}
    title = f"Gain in {metric} over {plain(reference)}"
    head = _heading(
        f"{title}: left of the line is worse, right is better",
        f"{caption} Filled: p < .05 after correction.",
        mode,
        frame,
    )
    return _forest(
        frame.rename(columns={"difference": "value"}),
        mode,
        f"difference in {metric}",
        {"rangemode": "tozero", **SIGNED, **_either_side(frame), **zero},
        head | upright(title=f"{title}: below the line is worse, above is better"),
        hover="%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]",
        filled=frame["significant"],
    )


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
            name=plain(name, BESIDE),
            line={"color": theme.method_color(label, mode), "dash": dash(label, variants[name]), "width": 2},
            marker=marker(label, mode, 9, variant=variants[name]),
            cliponaxis=False,
            customdata=rows[["low", "high", "users"]].assign(run=plain(name), group=buckets).to_numpy(),
            hovertemplate="%{fullData.name}<br>%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
            "<br>%{customdata[2]:,} users<extra></extra>",
        )
    users = frame.drop_duplicates("group").set_index("group")["users"].reindex(buckets)
    ticks = [f"{plain(b)}<br>{counted(int(n), 'user')}" for b, n in zip(buckets, users, strict=True)]
    figure.update_xaxes(
        tickvals=list(range(len(buckets))), ticktext=ticks, title_text=axis, showgrid=False, zeroline=False
    )
    figure.update_yaxes(rangemode="tozero", title_text=metric)
    figure = titled(figure, f"{metric} from {what}", caption, mode, 340, width=NARROW)
    return legend_below(figure, under=90)


def _forest(
    frame: pd.DataFrame,
    mode: Mode,
    title: str,
    axis: dict[str, Any],
    head: dict[str, object],
    *,
    hover: str,
    filled: Sequence[bool] | pd.Series | None = None,
) -> go.Figure:
    """Panels side by side, one per group of ``frame``, with a dot and its interval per contender.

    ``axis`` is said of every x axis; the middle one carries ``title``. Written down as one layout and plain traces:
    plotly checks every property again at each step, which a moved slider would wait for.
    """
    known = frame.assign(filled=True if filled is None else filled).dropna(subset="value")
    names = [plain(n) for n in dict.fromkeys(frame["run"])]
    groups = _groups(frame)
    users = frame.drop_duplicates("group").set_index("group")["users"]
    width = (1 - GAP * (len(groups) - 1)) / len(groups)
    rows = beside(list(dict.fromkeys(frame["run"]))) | {"range": [-0.6, len(names) - 0.4]}
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
        layout["annotations"].append(_panel_title(group, users[group], left + width / 2, mode))
    traces = [
        _dots(known[known["group"] == g], mode, i, f"%{{y}}<br>{g}: {hover}<extra></extra>", telling=filled is not None)
        for i, g in enumerate(groups, start=1)
    ]
    return go.Figure(traces, layout | head)


def _panel_title(group: str, users: int, x: float, mode: Mode) -> dict[str, Any]:
    """What stands over a panel: the group and its number of users."""
    return {
        "text": f"{group}<br><span style='font-size:12px'>{counted(users, 'user')}</span>",
        "font": {"size": 14, "color": theme.SURFACE[mode]["text"]},
        "showarrow": False,
        **{"x": x, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom"},
    }


def _dots(rows: pd.DataFrame, mode: Mode, panel: int, hover: str, *, telling: bool) -> dict[str, Any]:
    told = zip(rows["label"], rows["filled"], strict=True)
    drawn = [marker(label, mode, DOT, filled=filled, telling=telling) for label, filled in told]
    shape = {key: [d[key] for d in drawn] for key in ("symbol", "size", "color")}
    line = {key: [d["line"][key] for d in drawn] for key in ("color", "width")}
    at = "" if panel == 1 else str(panel)
    runs, groups = ([plain(name) for name in rows[column]] for column in ("run", "group"))
    return {
        "type": "scatter",
        "x": rows["value"].to_numpy(),
        "y": runs,
        "xaxis": f"x{at}",
        "yaxis": f"y{at}",
        "error_x": whiskers(rows["value"], rows["low"], rows["high"], 1.5, theme.SURFACE[mode]["muted"], caps=4),
        "mode": "markers",
        "cliponaxis": False,
        "marker": {**shape, "line": line},
        "customdata": list(zip(rows["low"], rows["high"], runs, groups, strict=True)),
        "hovertemplate": hover,
        "showlegend": False,
    }


def _either_side(frame: pd.DataFrame) -> dict[str, Any]:
    """Ticks of an axis of differences in narrow panels: zero, and a round number that the intervals reach on both sides
    of it; on the longer side alone where there is no room for one. Left to itself plotly may label zero alone."""
    ends = frame[["difference", "low", "high"]].astype(float)
    low, high = float(np.nanmin(ends, initial=0)), float(np.nanmax(ends, initial=0))
    near, far = sorted((-low, high))
    if far == 0:
        return {"nticks": 3}
    tick = _round_down(near) if _round_down(near) >= ROOM * far else _round_down(far)
    return {
        "tickvals": [t for t in (-tick, 0, tick) if low <= t <= high],
        "tickformat": f"+.{max(-int(np.floor(np.log10(tick))), 0)}~f",
    }


def _round_down(value: float) -> float:
    """To its first digit."""
    if value <= 0:
        return 0.0
    digits = -int(np.floor(np.log10(value)))
    return round(float(np.floor(value * 10.0**digits + 1e-9)) / 10.0**digits, max(digits, 0))


def large_enough(frame: pd.DataFrame, caption: str) -> tuple[pd.DataFrame, str]:
    """Without a group of cold items that is so small that its intervals would set the scale of all; said so."""
    small = (frame["group"] == COLD) & (frame["users"] < FEW_USERS)
    if not small.any():
        return frame, caption
    users = counted(int(frame.loc[small, "users"].max()), "user")
    return frame[~small], f"{caption} {COLD}: {users}, too few to draw, but in the table."


def _groups(frame: pd.DataFrame) -> list[str]:
    there = list(dict.fromkeys(frame["group"]))
    return [*(g for g in EVERY_GROUP if g in there), *(g for g in there if g not in EVERY_GROUP)]


def _heading(title: str, caption: str, mode: Mode, frame: pd.DataFrame) -> dict[str, object]:
    return heading(title, caption, mode, 60 + ROW * frame["run"].nunique(), panels=True)
