"""The same methods under several splits: a panel per split, each on a scale of its own, methods in one order."""

from __future__ import annotations

import textwrap

import pandas as pd
import plotly.graph_objects as go

from llmesr.views.shared import theme
from llmesr.views.shared.marks import DOT, markers, plain, titled, whiskers
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import one_line

ROW, GAP = 34, 0.06
"""Pixels per method; space between the panels as a share of the width."""
ACROSS, LINE = 78, 18
"""Characters of the headings of all panels together, side by side on a small page; pixels of a further line of one."""


def splits_chart(frame: pd.DataFrame, metric: str, group: str, protocol: str, mode: Mode = "light") -> go.Figure:
    """Dots with 95% intervals and the place of each method. ``frame``: run (method), label, split, place, value, low,
    high, users of one group; methods stand in the order of the first split."""
    names = list(dict.fromkeys(frame["split"]))
    first = frame[frame["split"] == names[0]].sort_values(["place", "run"])
    methods = [plain(m) for m in first["run"]]
    width = (1 - GAP * (len(names) - 1)) / len(names)
    layout: dict[str, object] = {"annotations": []}
    traces, headings = [], {split: _lines(split, len(names)) for split in names}
    for i, split in enumerate(names):
        rows, at, left = frame[frame["split"] == split], str(i + 1) if i else "", i * (width + GAP)
        most = max(float(rows[["value", "high"]].max().max()), 0.01)
        axis = {"range": [-0.04 * most, 1.22 * most], "nticks": 3, "tickformat": ".2~f", "title": {"text": metric}}
        layout[f"xaxis{at}"] = {"domain": [left, min(left + width, 1)], "anchor": f"y{at}", **axis}
        order = {"categoryorder": "array", "categoryarray": methods[::-1], "range": [-0.6, len(methods) - 0.4]}
        layout[f"yaxis{at}"] = {"anchor": f"x{at}", "showgrid": False, "showticklabels": i == 0, **order}
        layout["annotations"].append(_heading(headings[split], rows, left + width / 2, mode))  # type: ignore[attr-defined]
        traces += [_dots(rows, at, mode), _places(rows, at, most, mode)]
    title = f"{metric} of each method under each split, and its place: {group}"
    caption = f"{'Full ranking' if protocol == 'full' else 'Against 100 random items (uni100)'}. Methods in the order "
    caption += f"of the first: {plain(names[0])}."
    figure = titled(go.Figure(traces, layout), title, caption, mode, 110 + ROW * len(methods), panels=True)
    further = LINE * (max(map(len, headings.values())) - 1)
    return figure.update_layout(height=figure.layout.height + further, margin_t=figure.layout.margin.t + further)


def _lines(split: str, panels: int) -> list[str]:
    """What a split is called, in lines no wider than its panel."""
    return [plain(line) for line in textwrap.wrap(one_line(split, 70), ACROSS // panels)]


def _heading(lines: list[str], rows: pd.DataFrame, x: float, mode: Mode) -> dict[str, object]:
    users = theme.count(int(rows["users"].max()))
    return {
        "text": f"{' <br>'.join(lines)}<br><span style='font-size:12px'>{users} users</span>",
        "font": {"size": 14, "color": theme.SURFACE[mode]["text"]},
        "showarrow": False,
        **{"x": x, "xref": "paper", "xanchor": "center", "y": 1, "yref": "paper", "yanchor": "bottom"},
    }


def _dots(rows: pd.DataFrame, at: str, mode: Mode) -> go.Scatter:
    return go.Scatter(
        x=rows["value"],
        y=[plain(m) for m in rows["run"]],
        xaxis=f"x{at}",
        yaxis=f"y{at}",
        error_x=whiskers(rows["value"], rows["low"], rows["high"], 1.5, theme.SURFACE[mode]["muted"], caps=4),
        mode="markers",
        marker=markers(rows["label"], mode, DOT),
        cliponaxis=False,
        customdata=[[r.low, r.high, plain(r.split, 70), plain(r.run)] for r in rows.itertuples()],
        hovertemplate="%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
        showlegend=False,
    )


def _places(rows: pd.DataFrame, at: str, most: float, mode: Mode) -> go.Scatter:
    """The place of each method at the right edge of its panel."""
    return go.Scatter(
        x=[1.17 * most] * len(rows),
        y=[plain(m) for m in rows["run"]],
        xaxis=f"x{at}",
        yaxis=f"y{at}",
        mode="text",
        text=[f"{int(p)}." for p in rows["place"]],
        textfont={"color": theme.SURFACE[mode]["muted"], "size": 13},
        hoverinfo="skip",
        showlegend=False,
    )


def places_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per method; place, value and interval under each split."""
    names = list(dict.fromkeys(frame["split"]))
    by = {split: frame[frame["split"] == split].set_index("run") for split in names}
    methods = by[names[0]].sort_values("place").index
    table = pd.DataFrame({"method": methods})
    for split, rows in by.items():
        found = rows.reindex(methods)
        table[f"{split}: place"] = found["place"].astype("Int64").to_numpy()
        for column in ("value", "low", "high"):
            table[f"{split}: {column}"] = found[column].round(4).to_numpy()
    return table
