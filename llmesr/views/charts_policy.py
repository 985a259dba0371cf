"""Scoring policies of one run on validation: overall against the tail, and what one of them changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmesr.config import GROUPS
from llmesr.serving.tuned import CUT, Point, front
from llmesr.views import theme
from llmesr.views.marks import NARROW, plain, titled
from llmesr.views.theme import Mode

METRIC = f"NDCG@{CUT}"


def policy_frame(points: Sequence[Point], protocol: str) -> pd.DataFrame:
    """point, policy (in words), one column per group, and front: no other point is better overall and in the tail."""
    best = set(front(points, protocol))  # type: ignore[arg-type]
    rows = [
        {
            "point": i,
            "policy": p.policy.describe(),
            **{g: p.metrics.get(f"{protocol}/{g}/{METRIC}", np.nan) for g in GROUPS},
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
        ("no other is better in both", frame[frame["front"]].sort_values(GROUPS[0]), "lines+markers", {"size": 10}),
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
        name="shown below",
        mode="markers",
        marker={"size": 20, "symbol": "circle-open", "color": theme.SEMANTIC[mode]["good"], "line": {"width": 2.5}},
        customdata=ring["point"],
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text=f"Overall {METRIC} (validation)", tickformat=".3f")
    figure.update_yaxes(title_text=f"Tail-item {METRIC} (validation)", tickformat=".3f")
    figure = titled(
        figure, "What scoring alone can trade between everybody and the tail", caption, mode, 380, width=NARROW
    )
    return figure.update_layout(legend={"y": -0.22, "yanchor": "top"})


def change_table(frame: pd.DataFrame, shown: int) -> pd.DataFrame:
    """Group, Without policy, With it, Change in percent."""
    before, after = (frame.set_index("point").loc[i, list(GROUPS)].astype(float) for i in (0, shown))
    change = (after / before.where(before > 0) - 1) * 100
    return pd.DataFrame(
        {
            "Group": GROUPS,
            "Without policy": before.to_numpy(),
            "With it": after.to_numpy(),
            "Change, %": change.to_numpy(),
        }
    )
