"""What happened while a model learned: its loss, and its validation overall and in the tail."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from llmesr.config import EVERY_GROUP
from llmesr.views.shared import theme
from llmesr.views.shared.marks import dash, marker, plain, variants_of
from llmesr.views.shared.theme import Mode

SHOWN = ("Overall", "Tail Item", "Head Item", "Tail User")
TOP = 64
"""Room for two lines of legend, the same in both charts: they stand side by side."""


def loss_chart(events: pd.DataFrame, mode: Mode = "light") -> go.Figure:
    """Training loss per epoch (``events``: epoch, loss)."""
    figure = go.Figure(
        go.Scatter(
            x=events["epoch"],
            y=events["loss"],
            mode="lines+markers",
            line={"color": theme.SURFACE[mode]["primary"], "width": 2},
            marker={"size": 5},
            hovertemplate="epoch %{x}: loss %{y:.4f}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(title_text="Epoch", rangemode="tozero")
    figure.update_yaxes(title_text="Training loss")
    return theme.finish(figure, mode, height=340).update_layout(margin_t=TOP)


def validation_frame(events: pd.DataFrame, metric: str, protocol: str) -> pd.DataFrame:
    """epoch and one column per group that was recorded; rows without an evaluation are left out."""
    names = {f"{protocol}/{group}/{metric}": group for group in EVERY_GROUP}
    there = [c for c in names if c in events.columns]
    frame = events[["epoch", *there]] if "epoch" in events.columns else pd.DataFrame(columns=["epoch"])
    return frame.rename(columns=names).dropna(how="all", subset=[names[c] for c in there])


def validation_chart(
    events: pd.DataFrame, metric: str, protocol: str, mode: Mode = "light", *, best_epoch: int | None = None
) -> go.Figure:
    """One line per group: the metric on validation after each epoch; ``best_epoch`` is the one that was kept."""
    frame = validation_frame(events, metric, protocol)
    figure = go.Figure()
    for group in (g for g in SHOWN if g in frame.columns):
        figure.add_trace(
            go.Scatter(
                x=frame["epoch"],
                y=frame[group],
                mode="lines+markers",
                name=group,
                line={
                    "color": theme.group_color(group, mode),
                    "width": 3 if group in ("Overall", "Tail Item") else 1.5,
                },
                marker={"symbol": theme.GROUP_SYMBOLS[group], "size": 7},
                hovertemplate=f"epoch %{{x}}: {group} %{{y:.3f}}<extra></extra>",
            )
        )
    if best_epoch is not None:
        figure.add_vline(x=best_epoch, line={"color": theme.SURFACE[mode]["muted"], "dash": "dot", "width": 1})
        figure.add_annotation(
            x=best_epoch,
            y=1,
            yref="paper",
            xanchor="left",
            yanchor="top",
            text=" kept",
            showarrow=False,
            font={"color": theme.SURFACE[mode]["muted"]},
        )
    figure.update_xaxes(title_text="Epoch", rangemode="tozero")
    figure.update_yaxes(title_text=f"{metric} on validation", rangemode="tozero")
    return theme.finish(figure, mode, height=340).update_layout(margin_t=TOP)


def overlaid_chart(frame: pd.DataFrame, metric: str, mode: Mode = "light") -> go.Figure:
    """A line per run: the metric on validation, overall, after each epoch. ``frame``: run, label, epoch, Overall."""
    variants = variants_of(frame)
    figure = go.Figure()
    for name, rows in frame.groupby("run", sort=False):
        label = str(rows["label"].iloc[0])
        figure.add_scatter(
            x=rows["epoch"],
            y=rows["Overall"],
            mode="lines+markers",
            name=plain(str(name)),
            line={"color": theme.method_color(label, mode), "dash": dash(label, variants[str(name)]), "width": 2},
            marker=marker(label, mode, 7, variant=variants[str(name)]),
            hovertemplate="%{fullData.name}<br>epoch %{x}: %{y:.4f}<extra></extra>",
        )
    figure.update_xaxes(title_text="Epoch", rangemode="tozero")
    figure.update_yaxes(title_text=f"{metric} on validation", rangemode="tozero")
    return theme.finish(figure, mode, height=360).update_layout(margin_t=TOP)


def tuning_chart(events: pd.DataFrame, mode: Mode = "light") -> go.Figure:
    """Retrieval accuracy (held-out items found by their own copy) and the mean cosine of all pairs, by step.

    ``events``: step, accuracy, mean_cosine; step 0 is the model before tuning.
    """
    surface = theme.SURFACE[mode]
    drawn = (
        ("accuracy", "retrieval accuracy (higher is better)", surface["primary"], "solid"),
        ("mean_cosine", "mean cosine of all pairs (lower is better)", surface["muted"], "dash"),
    )
    figure = go.Figure()
    for column, name, color, stroke in drawn:
        figure.add_scatter(
            x=events["step"],
            y=events[column],
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 2, "dash": stroke},
            marker={"size": 6},
            hovertemplate=f"step %{{x}}: {column.replace('_', ' ')} %{{y:.3f}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Step", rangemode="tozero")
    figure.update_yaxes(title_text="On held-out items", rangemode="tozero")
    return theme.finish(figure, mode, height=340).update_layout(margin_t=TOP)
