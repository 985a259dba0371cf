"""All runs of a dataset in one table, by what they reached on validation, and their curves over one another."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmesr.config import has_backbone
from llmesr.data.groups import Thresholds
from llmesr.evaluation.contenders import contenders
from llmesr.prose import counted
from llmesr.runs.record import Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.shared import exhibits, job_panels, links, theme, widgets
from llmesr.views.training.charts import overlaid_chart, validation_frame

GROUPS = ("Overall", "Tail Item", "Head Item", "Tail User")
METRIC = "NDCG@10"


def leaderboard(root: Store, manifest: Manifest, thresholds: Thresholds, protocol: str) -> None:
    """The table, best on validation first; selected runs are drawn together and can be compared."""
    runs = artifacts.runs(root, manifest.id)
    if not runs:
        return
    frame = board(root, runs, thresholds, protocol)
    st.markdown(f"**All runs**, by {METRIC} on validation; the test part is for Compare. Select some to see curves.")
    picked = exhibits.table(
        frame,
        key="board",
        name=f"runs-{manifest.name}",
        on_select="rerun",
        selection_mode="multi-row",
        height=min(36 * (len(frame) + 1) + 3, 400),
        column_config={g: st.column_config.NumberColumn(format="%.4f") for g in GROUPS},
    )
    rows = [row for row in (picked.selection.rows if picked else []) if row < len(frame)]
    if rows:
        by_id = {r.id: r for r in runs}
        _together(root, [by_id[id] for id in frame["id"].iloc[rows]], frame.iloc[rows], protocol)


def board(root: Store, runs: Sequence[Run], thresholds: Thresholds, protocol: str) -> pd.DataFrame:
    """A row per run: configuration, seed, state, the metric on validation by group, epochs, time, creation, id."""
    done = [r for r in runs if r.status().state == "SUCCEEDED"]
    names = {id: c.name for c in contenders(done) for id in c.ids}
    made = [_row(root, run, names.get(run.id, run.label), thresholds, protocol) for run in runs]
    return pd.DataFrame(made).sort_values(GROUPS[0], ascending=False, kind="stable", ignore_index=True)


def _row(root: Store, run: Run, name: str, thresholds: Thresholds, protocol: str) -> dict[str, object]:
    manifest, status = run.manifest, run.status()
    reached = evidence.validated(root, run.id, thresholds, METRIC, protocol) if status.state == "SUCCEEDED" else {}
    best = manifest.info.get("best_epoch")
    epochs = f"{best} of {status.epoch}" if best is not None else str(status.epoch or "")
    seconds = manifest.timings.get("train")
    return {
        "configuration": name,
        "seed": manifest.seed,
        "state": job_panels.WORDS[status.state],
        **{g: reached.get(g, float("nan")) for g in GROUPS},
        "best epoch": epochs if has_backbone(manifest.config["method"]) else "",
        "training": theme.duration(seconds) if seconds else "",
        "created": theme.short_date(manifest.created),
        "id": run.id,
    }


def _together(root: Store, runs: Sequence[Run], rows: pd.DataFrame, protocol: str) -> None:
    """The validation curves of the selected runs, and the way to Compare."""
    curves = []
    for run, name, seed in zip(runs, rows["configuration"], rows["seed"], strict=True):
        events = run.events()
        if not events.empty and "Overall" in (found := validation_frame(events, METRIC, protocol)):
            label = f"{name}, seed {seed}"
            curves.append(found[["epoch", "Overall"]].assign(run=label, label=run.label))
    if curves:
        frame = pd.concat(curves, ignore_index=True)
        exhibits.chart(
            overlaid_chart(frame, METRIC, widgets.mode()),
            key="board.curves",
            alt=f"{METRIC} on validation by epoch, a line for each of {counted(len(curves), 'run')}.",
            data=frame.drop(columns="label"),
            name="validation-curves",
        )
    else:
        st.caption("The selected runs were not trained by epochs: they have no curves.")
    names = [c.name for c in contenders(artifacts.runs(root, runs[0].dataset_id, finished=True))]
    wanted = [n for n in dict.fromkeys(rows["configuration"]) if n in names]
    if wanted and st.button(
        f"Compare {counted(len(wanted), 'configuration')}", icon=":material/balance:", key="board.go"
    ):
        links.preselect("compare", wanted)
        st.switch_page(links.COMPARE.file)
