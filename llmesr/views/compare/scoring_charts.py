"""Scoring policies of one run on validation: overall against the tail, and what one of them changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.config import EVERY_GROUP
from llmesr.scoring.terms import TERMS
from llmesr.scoring.tuning.outcome import CUT, PolicyPoint, policy_front
from llmesr.scoring.weights import PopularityWeights
from llmesr.views.shared import theme
from llmesr.views.shared.marks import NARROW, plain, titled
from llmesr.views.shared.theme import Mode

METRIC = f"NDCG@{CUT}"
DASHES = {"collaborative": "solid", "semantic": "dash", "content": "dot", "linear": "dashdot"}
SYMBOLS = {"collaborative": "circle", "semantic": "square", "content": "diamond", "linear": "triangle-up"}


def policy_frame(points: Sequence[PolicyPoint], protocol: str) -> pd.DataFrame:
    """point, policy (in words), one column per group, and front: no other point is better overall and in the tail."""
    best = set(policy_front(points, protocol))  # type: ignore[arg-type]
    there = [g for g in EVERY_GROUP if any(f"{protocol}/{g}/{METRIC}" in p.metrics for p in points)]
    rows = [
        {
            "point": i,
            "policy": p.policy.describe(),
            **{g: p.metrics.get(f"{protocol}/{g}/{METRIC}", np.nan) for g in there},
            "front": i in best,
        }
        for i, p in enumerate(points)
    ]
    return pd.DataFrame(rows)


def policy_chart(frame: pd.DataFrame, shown: int, caption: str, mode: Mode = "light") -> go.Figure:
    """Every policy as a dot, the front as a line, the run without policy as a cross, a ring around ``shown``.

    ``frame``: as from :func:`policy_frame`. ``customdata`` of every dot is its point.
    """
    surface = theme.SURFACE[mode]
    figure = go.Figure()
    rest = frame[~frame["front"] & (frame["point"] != 0)]
    kinds = (
        ("other policies", rest, "markers", {"size": 6, "color": surface["muted"], "opacity": 0.5}),
        ("Pareto front", frame[frame["front"]].sort_values("Overall"), "lines+markers", {"size": 10}),
        (
            "without policy",
            frame[frame["point"] == 0],
            "markers",
            {"size": 13, "symbol": "x", "color": surface["text"]},
        ),
    )
    for name, rows, how, style in kinds:
        figure.add_scatter(
            x=rows["Overall"],
            y=rows["Tail Item"],
            name=name,
            mode=how,
            marker={"color": surface["primary"], **style},
            line={"color": surface["primary"], "width": 1.5},
            customdata=rows["point"],
            text=[plain(p, 90) for p in rows["policy"]],
            hovertemplate="%{text}<br>overall %{x:.4f}, tail items %{y:.4f}<extra></extra>",
        )
    ring = frame[frame["point"] == shown]
    figure.add_scatter(
        x=ring["Overall"],
        y=ring["Tail Item"],
        name="selected",
        mode="markers",
        marker={"size": 20, "symbol": "circle-open", "color": theme.SEMANTIC[mode]["good"], "line": {"width": 2.5}},
        customdata=ring["point"],
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text=f"Overall {METRIC} (validation)", tickformat=".3f")
    figure.update_yaxes(title_text=f"Tail-item {METRIC} (validation)", tickformat=".3f")
    figure = titled(figure, "What tuned scoring trades: overall against tail items", caption, mode, 380, width=NARROW)
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


def weights_frame(weights: PopularityWeights) -> pd.DataFrame:
    """Training interactions, and the value of every curve there."""
    return pd.DataFrame({"Training interactions": weights.counts, **weights.curves})


def weights_chart(weights: PopularityWeights, tail: int, mode: Mode = "light") -> go.Figure:
    """How much each term counts, by popularity of the item; those with fewer than ``tail`` interactions are shaded."""
    figure = go.Figure()
    for name, values in weights.curves.items():
        if any(values) and not TERMS[name].signed:  # the bias is added: no weight of anything
            title = TERMS[name].title
            figure.add_scatter(
                x=np.asarray(weights.counts) + 1,
                y=values,
                name=title,
                mode="lines+markers",
                line={"color": theme.part(name, mode), "width": 2.5, "dash": DASHES.get(name, "longdash")},
                marker={"size": 8, "symbol": SYMBOLS.get(name, "cross")},
                customdata=weights.counts,
                hovertemplate=f"{title} %{{y:.2f}} at %{{customdata}} interactions<extra></extra>",
            )
    least, most = weights.counts[0] + 1, weights.counts[-1] + 1
    if least < tail + 1 < most:
        figure.add_vrect(
            x0=least,
            x1=tail + 1,
            fillcolor=theme.SURFACE[mode]["muted"],
            opacity=0.12,
            line_width=0,
        )
        # Not by add_vrect: on a logarithmic axis an annotation stands at the logarithm, a shape at the value.
        figure.add_annotation(
            x=np.log10(least), y=1, yref="paper", text="tail items", showarrow=False, xanchor="left", yanchor="top"
        )
    figure.update_xaxes(
        title_text="Training interactions of the item (logarithmic)",
        type="log",
        tickvals=[c + 1 for c in weights.counts],
        ticktext=[f"{c:,}" for c in weights.counts],
    )
    figure.update_yaxes(title_text="Weight", rangemode="tozero")
    caption = "1 is the spread of the run's own scores over the catalogue."
    figure = titled(figure, "What counts for rare and for popular items", caption, mode, 340)
    return figure.update_layout(legend={"y": -0.24, "yanchor": "top"})


def change_table(frame: pd.DataFrame, shown: int) -> pd.DataFrame:
    """Group, Before, After, Change in percent."""
    groups = [g for g in EVERY_GROUP if g in frame.columns]
    before, after = (frame.set_index("point").loc[i, groups].astype(float) for i in (0, shown))
    change = (after / before.where(before > 0) - 1) * 100
    return pd.DataFrame(
        {
            "Group": groups,
            "Before": before.to_numpy(),
            "After": after.to_numpy(),
            "Change, %": change.to_numpy(),
        }
    )
