"""What popularity alone explains of each configuration's score, under both protocols."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmesr.views.shared import theme
from llmesr.views.shared.marks import beside, plain, titled
from llmesr.views.shared.theme import Mode
from llmesr.views.shared.words import PROTOCOL_NAMES

ROW = 34
"""Pixels per configuration."""
PANELS = ("full", "uni100")


def popularity_chart(frame: pd.DataFrame, metric: str, caption: str, mode: Mode = "light") -> go.Figure:
    """A panel per protocol, a bar per configuration in two parts. ``frame``: run, label, protocol, value, popularity,
    share; each panel has a scale of its own."""
    names = list(dict.fromkeys(frame["run"]))
    shown = [plain(n) for n in names]
    figure = make_subplots(
        rows=1,
        cols=len(PANELS),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=[PROTOCOL_NAMES[protocol] for protocol in PANELS],
    ).update_annotations(font={"size": 14, "color": theme.SURFACE[mode]["text"]})
    for column, protocol in enumerate(PANELS, 1):
        rows = frame[frame["protocol"] == protocol].set_index("run").loc[names]
        colors = [theme.method_color(label, mode) for label in rows["label"]]
        rest = rows["value"] - rows["popularity"]
        shares = [theme.percent(s) if s == s else "" for s in rows["share"]]
        hatched = {"shape": "/", "fgcolor": theme.SURFACE[mode]["muted"], "size": 5, "solidity": 0.3}
        parts: tuple[tuple[str, pd.Series, dict[str, Any]], ...] = (
            (
                "popularity alone scores it too",
                rows["popularity"],
                {"color": theme.SURFACE[mode]["grid"], "pattern": hatched},
            ),
            ("the rest", rest, {"color": colors}),
        )
        for part, (name, values, marker) in zip(("both", "rest"), parts, strict=True):
            figure.add_bar(
                x=values,
                y=shown,
                orientation="h",
                name=name,
                marker=marker,
                customdata=[[v, s, protocol, part, n] for v, s, n in zip(rows["value"], shares, shown, strict=True)],
                hovertemplate=f"%{{y}}: %{{x:.4f}} of %{{customdata[0]:.4f}}, {name} "
                "(popularity: %{customdata[1]})<extra></extra>",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=rows["value"],
            y=shown,
            mode="text",
            text=[f" {s}" for s in shares],
            textposition="middle right",
            textfont={"size": 13, "color": theme.SURFACE[mode]["muted"]},
            hoverinfo="skip",
            showlegend=False,
            cliponaxis=False,
            row=1,
            col=column,
        )
        most = max(float(rows["value"].max()), 0.01)
        figure.update_xaxes(range=[0, 1.18 * most], nticks=4, title_text=metric, row=1, col=column)
    figure.update_yaxes(**beside(names))
    figure.update_layout(barmode="stack", bargap=0.35)
    hatch = "Hatched: what ranking by training interactions alone scores on the same targets; its share in percent."
    title = f"How much of {plain(metric)} popularity explains, under each protocol"
    return titled(figure, title, f"{hatch} {caption}", mode, 70 + ROW * len(names), panels=True)
