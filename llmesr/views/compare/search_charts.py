"""What a search for settings found: the value of every trial, and the best so far."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.views.shared import theme
from llmesr.views.shared.marks import plain
from llmesr.views.shared.theme import Mode

_MARKS = {"complete": ("circle", "primary"), "pruned": ("x-thin", "muted")}


def trials_chart(trials: pd.DataFrame, names: list[str], metric: str, mode: Mode = "light") -> go.Figure:
    """A point per trial and a line for the best so far (``trials``: trial, state, value, best, a column per setting
    of ``names``). A failed trial has no value, so no point."""
    figure = go.Figure(
        go.Scatter(
            x=trials["trial"],
            y=trials["best"],
            mode="lines",
            name="best so far",
            line={"color": theme.SURFACE[mode]["primary"], "width": 2, "shape": "hv"},
            hoverinfo="skip",
        )
    )
    for state, (symbol, color) in _MARKS.items():
        rows = trials[trials["state"].eq(state)]
        if rows.empty:
            continue
        said = ["<br>".join(f"{n} {plain(row[n])}" for n in names) for row in rows.to_dict("records")]
        figure.add_trace(
            go.Scatter(
                x=rows["trial"],
                y=rows["value"],
                mode="markers",
                name=state,
                text=said,
                marker={
                    "symbol": symbol,
                    "size": 10,
                    "color": theme.SURFACE[mode][color],
                    "line": {"width": 2, "color": theme.SURFACE[mode][color]},
                },
                hovertemplate=f"trial %{{x}}, {state}: %{{y:.4f}}<br>%{{text}}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text="Trial", dtick=1 if len(trials) <= 20 else None)
    figure.update_yaxes(title_text=f"{metric} on validation")
    return theme.finish(figure, mode, height=380)
