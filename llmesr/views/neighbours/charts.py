"""Charts of one user: where each run ranked the held-out item, histories side by side, the content term's effect."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain, upright
from llmesr.views.shared.theme import Mode

LIST = 10
"""A rank up to here is a hit in the lists that are shown."""
_TICKS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
_KINDS = {
    "own": ("chosen by the user", "circle"),
    "next": ("held-out item", "star"),
    "shared": ("chosen by both", "circle"),
    "knows": ("held-out item", "star"),
    "other": ("another item", "circle-open"),
}


def rank_figure(table: pd.DataFrame, mode: Mode) -> go.Figure:
    """A dot per method and setting on a logarithmic axis of ranks; ``table`` as from ``similar.rank_table``.

    Several seeds of one setting are one dot at their median rank, with a line from the best to the worst.
    """
    figure = go.Figure()
    groups = table.groupby(["label", "setting"], sort=False)["rank"].agg(["median", "min", "max", "size"]).reset_index()
    groups = groups.sort_values("median", kind="stable")
    told = _told(table)
    worst = int(table["candidates"].max()) if len(table) else LIST
    figure.add_vrect(
        x0=0.8, x1=LIST + 0.5, fillcolor=theme.SEMANTIC[mode]["good"], opacity=0.08, line_width=0, layer="below"
    )
    for row in groups.itertuples():
        color, middle = theme.method_color(row.label, mode), float(row.median)
        seeds = f"<br>median of {row.size} seeds, {row.min:,} to {row.max:,}" if row.size > 1 else ""
        figure.add_trace(
            go.Scatter(
                x=[middle],
                y=[_run_name(row.label, told[row.label, row.setting], mode)],
                mode="markers+text",
                marker={"color": color, "symbol": theme.symbol(row.label), "size": 13, "line": {"color": color}},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [row.max - middle],
                    "arrayminus": [middle - row.min],
                    "width": 0,
                    "thickness": 2,
                },
                text=[f"  {middle:,.0f}  "],
                # Far at the right there is no room beside the marker.
                textposition="top center" if row.size > 1 else f"middle {'left' if middle > worst / 6 else 'right'}",
                hovertemplate=f"{plain(row.label, 40)}<br>rank {middle:,.0f} of {worst:,}{seeds}<extra></extra>",
                showlegend=False,
            )
        )
    ticks = [t for t in _TICKS if t <= 2 * worst]
    top = np.log10(max(worst, LIST) * 2.2)
    several = ["of several seeds the median, and best to worst"] * bool((groups["size"] > 1).any())
    title = f"rank ({'; '.join([f'shaded: the first {LIST}', *several])})"
    figure.update_xaxes(type="log", range=[-0.1, top], tickvals=ticks, ticktext=[f"{t:,}" for t in ticks], title=title)
    figure.update_yaxes(autorange="reversed", type="category")
    theme.finish(figure, mode, height=100 + 40 * max(len(groups), 2))
    standing = f"rank ({several[0]})" if several else "rank"  # where nothing is shaded
    return figure.update_layout(margin={"t": 12, "b": 48}, **upright(axis=standing, first_on_top=True))


def _told(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(label, setting) -> what of the setting tells it from the others of that label."""
    told = {}
    for label, rows in table.groupby("label", sort=False):
        settings = list(dict.fromkeys(rows["setting"]))
        parts = [s.split(", ") for s in settings]
        common = set(parts[0]).intersection(*parts[1:]) if len(parts) > 1 else set()
        for setting, own in zip(settings, parts, strict=True):
            said = ", ".join(p for p in own if p not in common)
            told[str(label), setting] = said or ("as trained" if len(parts) > 1 else "")
    return told


def _run_name(label: str, setting: str, mode: Mode) -> str:
    under = f'<br><span style="font-size:11px;color:{theme.SURFACE[mode]["muted"]}">{plain(setting, 44)}</span>'
    return f"{plain(label, 40)}{under if setting else ''}"


def histories_figure(
    frame: pd.DataFrame, similarity: np.ndarray, mode: Mode, knowing: Collection[int] = ()
) -> go.Figure:
    """Aligned histories, newest at the right; ``frame`` as from ``similar.aligned``, cosines of rows 1.. .

    ``knowing``: rows of users who chose the held-out item, be it too long ago to be drawn.
    """
    highlight, accent, muted = (
        theme.SEMANTIC[mode]["highlight"],
        theme.SURFACE[mode]["primary"],
        theme.SURFACE[mode]["muted"],
    )
    colors = {
        "own": theme.SURFACE[mode]["text"],
        "next": highlight,
        "shared": accent,
        "knows": highlight,
        "other": muted,
    }
    traces = [
        {
            "type": "scatter",
            "x": part["step"] + (0.6 if kind == "next" else 0.0),
            "y": part["row"],
            "mode": "markers",
            "name": name,
            "showlegend": kind != "knows",  # the star of the user's own held-out item says it already
            "marker": {
                "symbol": symbol,
                "size": 15 if "star" in symbol else 11,
                "color": colors[kind],
                "opacity": 0.55 if kind == "other" else 1,
            },
            "text": [plain(t, 80) for t in part["title"]],
            "customdata": part[["user_id", "item"]].to_numpy().tolist(),
            "hovertemplate": "%{text}<extra></extra>",
        }
        for kind, (name, symbol) in _KINDS.items()
        if len(part := frame[frame["kind"] == kind])
    ]
    names = frame.drop_duplicates("row").set_index("row")["user_id"]
    rows = list(range(len(similarity) + 1))
    labels = ["this user"] + [
        f"{'★ ' if r in knowing else ''}{plain(names.get(r, '–'), 14)} · {similarity[r - 1]:.3f}" for r in rows[1:]
    ]
    bare = {"showgrid": False, "zeroline": False}
    border = {"color": theme.SURFACE[mode]["border"], "width": 1}
    under_own = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": 0.5, "y1": 0.5, "line": border}
    layout = {
        "yaxis": {"tickvals": rows, "ticktext": labels, "autorange": "reversed", **bare},
        "xaxis": {"title": {"text": "older   ←   items of the history   →   newest"}, "showticklabels": False, **bare},
        "shapes": [under_own],
        "margin": {"t": 44, "b": 40},
    }
    return go.Figure(traces, theme.look(mode, height=150 + 27 * len(rows)) | layout)


def content_figure(frame: pd.DataFrame, label: str, mode: Mode) -> go.Figure:
    """The rank of the held-out item as the content weight grows: columns weight, rank."""
    color = theme.method_color(label, mode)
    figure = go.Figure(
        go.Scatter(
            x=[f"{g:g}" for g in frame["weight"]],
            y=frame["rank"],
            mode="lines+markers+text",
            text=[f"{r:,}" for r in frame["rank"]],
            textposition="top center",
            line={"color": color, "width": 2},
            marker={"size": 10, "symbol": theme.symbol(label), "color": color},
            hovertemplate="content weight %{x}: rank %{y:,}<extra></extra>",
        )
    )
    figure.update_xaxes(title="content weight (0: the model alone)", type="category")
    top = float(np.log10(max(int(frame["rank"].max()), LIST) * 2.5))
    figure.update_yaxes(
        title="rank", type="log", range=[top, -0.25], tickvals=_TICKS, ticktext=[f"{t:,}" for t in _TICKS]
    )
    theme.finish(figure, mode, height=280)
    return figure.update_layout(margin={"t": 12, "b": 48})
