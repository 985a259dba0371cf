"""A run that trains or has trained: its job, its state and its curves."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.config import LINEAR, UNTRAINED
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import exhibits, job_panels, links, pickers, theme, widgets
from llmesr.views.training.charts import loss_chart, validation_chart, validation_frame


def pick_run(root: Store, manifest: Manifest) -> str | None:
    """A run of the dataset, or one that a job has yet to begin, or would have begun had it not ended before."""
    begun = {r.id: pickers.run_name(r) for r in artifacts.runs(root, manifest.id, archived=True)}
    # Also the import that made the dataset.
    own = [j for j in artifacts.jobs(root).list() if f"datasets/{manifest.id}" in j.artifacts]
    busy = [j for j in own if j.active]
    lost = [j for j in own if j.state in ("STOPPED", "FAILED")]
    waiting = {id: f"{id} (waiting)" for j in busy for id in j.runs}
    ended = {id: f"{id} ({job_panels.WORDS[j.state]} before it began)" for j in lost for id in j.runs}
    there = {id: name for id, name in waiting.items() if id not in begun} | begun
    there |= {id: name for id, name in ended.items() if id not in there}
    now = next((j.step.run for j in busy if j.state == "RUNNING" and j.step.run), None)
    return links.choose("Run", list(there), "run", show=there.__getitem__, default=now)


def watch(root: Store, run_id: str, protocol: str) -> None:
    """A run with its job, live while it trains."""
    job_panels.watch(root, "runs", run_id, _draw_run, protocol)


def _draw_run(root: Store, run_id: str, protocol: str) -> None:
    if not root.exists("runs", run_id):
        waited = any(id == run_id for j in artifacts.jobs(root).list() if j.active for id in j.runs)
        st.caption("Curves appear when training starts." if waited else "It never began, so there is nothing to draw.")
        return
    run = Run(root, run_id)
    status = run.status()
    columns = st.columns(4)
    columns[0].metric("State", job_panels.WORDS[status.state], border=True)
    if status.state == "SUCCEEDED" and not status.epoch:  # solved or summed at once: nothing else to tell
        if took := run.manifest.timings.get("train"):
            columns[1].metric("Training took", theme.duration(took), border=True)
        curves(run, protocol)
        return
    columns[1].metric("Epoch", f"{status.epoch} of {status.epochs}", border=True)
    columns[2].metric(f"Best {run.config.monitor} (validation)", theme.metric(status.best), border=True)
    if took := run.manifest.timings.get("train"):
        columns[3].metric("Training took", theme.duration(took), border=True)
    else:
        left = theme.duration(status.seconds_left if status.state == "RUNNING" else None)
        columns[3].metric("Time left (at most)", left, border=True, help="Training may stop earlier.")
    curves(run, protocol)


def curves(run: Run, protocol: str) -> None:
    """Loss, and validation overall and in the tail."""
    events = run.events()
    if events.empty:
        method = run.manifest.config["method"]
        if method in LINEAR:
            st.caption("This method is solved at once, so there are no curves.")
        elif method in UNTRAINED:
            st.caption("This method does not learn, so there are no curves.")
        else:
            st.caption("The first epoch is running.")
        return
    metric = "NDCG@10"
    best = run.manifest.info.get("best_epoch")
    with st.container(key="beside-curves"):
        left, right = st.columns(2)
    with left:
        last = events["loss"].iloc[-1]
        exhibits.chart(
            loss_chart(events, widgets.mode()),
            key=f"loss.{run.id}",
            alt=f"Training loss over {len(events)} epochs; the last is {last:.3f}.",
            data=events[[c for c in ("epoch", "loss", "seconds") if c in events]],
            name=f"loss-{run.id}",
        )
    with right:
        frame = validation_frame(events, metric, protocol)
        exhibits.chart(
            validation_chart(events, metric, protocol, widgets.mode(), best_epoch=best),
            key=f"validation.{run.id}",
            alt=_validation_words(frame, metric),
            data=frame,
            name=f"validation-{run.id}",
        )
        if told := sample_words(events, run):
            st.caption(told)


def sample_words(events: pd.DataFrame, run: Run) -> str:
    """What the points of the curve are of, where validation asks a sample; empty where it asks everybody."""
    if "validation_interval" not in events:
        return ""
    last = events.dropna(subset=["validation_interval"]).iloc[-1]
    return (
        f"Each point is of the same {last['validation_users']:,.0f} users, drawn at random: {run.config.monitor} is "
        f"known to ± {last['validation_interval']:.3f} (95%). The finished run is evaluated on all."
    )


def _validation_words(frame: pd.DataFrame, metric: str) -> str:
    if frame.empty:
        return "No validation yet."
    last = frame.iloc[-1]
    cells = [f"{g} {theme.metric(last[g])}" for g in ("Overall", "Tail Item", "Head Item") if g in frame.columns]
    return f"{metric} on validation over {int(last['epoch'])} epochs; after the last: {', '.join(cells)}."
