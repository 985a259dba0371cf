"""All runs of a dataset in one table, by what they reached on validation, with tags and notes, and their curves over
one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from llmesr.config import has_backbone
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.two_stage import described, recall_of
from llmesr.prose import counted
from llmesr.runs.record import LONGEST_NOTE, Remarks, Run
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.shared import exhibits, job_panels, links, theme, widgets
from llmesr.views.shared.words import as_text
from llmesr.views.training.charts import overlaid_chart, validation_frame

GROUPS = ("Overall", "Tail Item", "Head Item", "Tail User")
METRIC = "NDCG@10"
KEYS = ("board.tags", "board.note")


def leaderboard(root: Store, manifest: Manifest, thresholds: Thresholds, protocol: str) -> None:
    """The table, best on validation first; selected runs are drawn together, labelled, and can be compared."""
    runs = artifacts.runs(root, manifest.id, archived=True)
    if not runs:
        return
    st.markdown(f"**All runs**, by {METRIC} on validation; the test part is for Compare. Select some to see curves.")
    said = {run.id: run.remarks for run in runs}
    shown = _filtered(runs, said)
    names = _names(root, runs, said)
    frame = board(root, shown, thresholds, protocol, names=names, said=said)
    if frame.empty:
        st.caption("No run has all of that.")
        return
    picked = exhibits.table(
        frame,
        name=f"runs-{manifest.name}",
        on_select="rerun",
        selection_mode="multi-row",
        height=min(36 * (len(frame) + 1) + 3, 400),
        column_config={
            "configuration": st.column_config.TextColumn(width=200),  # a blend's name would hide what it reached
            **{g: st.column_config.NumberColumn(format="%.4f") for g in GROUPS},
        },
        **links.selected("picked", "board", frame["id"].tolist()),
    )
    listed = set(frame["id"])
    for of_run in artifacts.manifests(root, "runs"):
        if of_run.id in listed and (recall := recall_of(of_run)) is not None:
            st.caption(f"{names.get(of_run.id, of_run.id)}, seed {of_run.seed}, was {described(recall)}.")
    rows = [row for row in (picked.selection.rows if picked else []) if row < len(frame)]
    links.keep_selected("picked", frame["id"].iloc[rows].tolist())
    if rows:
        by_id = {r.id: r for r in runs}
        chosen = [by_id[id] for id in frame["id"].iloc[rows]]
        _remarks(chosen, said)
        _together(chosen, frame.iloc[rows], protocol)
        _compare([names[r.id] for r in chosen if r.id in names])


def _filtered(runs: Sequence[Run], said: Mapping[str, Remarks]) -> list[Run]:
    """Those that have the chosen tags and words; the archived ones where they are asked for."""
    tags = sorted({tag for remarks in said.values() for tag in remarks.tags})
    put_away = any(remarks.archived for remarks in said.values())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = set(links.choose_many("Tags", tags, "tags", width=260)) if tags else set()
        words = st.text_input(
            "Find",
            key="board.find",
            bind="query-params",
            icon=":material/search:",
            placeholder="in ids and notes",
            width=260,
        )
        archived = st.toggle("Archived too", key="board.archived", bind="query-params") if put_away else False
    return [
        run
        for run in runs
        if wanted <= set(said[run.id].tags)
        and (archived or not said[run.id].archived)
        and words.strip().lower() in f"{run.id} {said[run.id].note}".lower()
    ]


def _names(root: Store, runs: Sequence[Run], said: Mapping[str, Remarks]) -> dict[str, str]:
    """Evaluated run -> its configuration, as Compare calls it: archived ones have no part in that."""
    done = [r for r in runs if not said[r.id].archived and r.status().state == "SUCCEEDED"]
    return {id: c.name for c in evidence.grouped(root, done) for id in c.ids}


def board(
    root: Store,
    runs: Sequence[Run],
    thresholds: Thresholds,
    protocol: str,
    *,
    names: Mapping[str, str],
    said: Mapping[str, Remarks],
) -> pd.DataFrame:
    """A row per run: configuration, seed, state, the metric on validation by group, epochs, time, what people say of
    it, creation, id. ``names``: run id -> configuration; ``said``: run id -> remarks. Tags and notes have no
    column where there are none."""
    made = [_row(root, run, names.get(run.id, run.label), thresholds, protocol, said[run.id]) for run in runs]
    if not made:
        return pd.DataFrame()
    frame = pd.DataFrame(made).sort_values(GROUPS[0], ascending=False, kind="stable", ignore_index=True)
    return frame.drop(columns=[c for c in ("tags", "note") if not frame[c].astype(bool).any()])


def _row(root: Store, run: Run, name: str, thresholds: Thresholds, protocol: str, said: Remarks) -> dict[str, object]:
    manifest, status = run.manifest, run.status()
    reached = evidence.validated(root, run.id, thresholds, METRIC, protocol) if status.state == "SUCCEEDED" else {}
    best = manifest.info.get("best_epoch")
    epochs = f"{best} of {status.epoch}" if best is not None else str(status.epoch or "")
    seconds = manifest.timings.get("train")
    return {
        "configuration": name,
        "seed": manifest.seed,
        "state": "archived" if said.archived else job_panels.WORDS[status.state],
        **{g: reached.get(g, float("nan")) for g in GROUPS},
        "best epoch": epochs if has_backbone(manifest.config["method"]) else "",
        "training": theme.duration(seconds) if seconds else "",
        "tags": ", ".join(said.tags),
        "note": said.note,
        "created": theme.short_date(manifest.created),
        "id": run.id,
    }


def _remarks(runs: Sequence[Run], said: Mapping[str, Remarks]) -> None:
    """Tags, a note and the archive for the selected runs."""
    if refused := st.session_state.pop("board.refused", ""):
        st.error(as_text(refused), icon=":material/error:")
    away = [run for run in runs if said[run.id].archived]
    with st.container(horizontal=True):
        with st.popover("Tags and note", icon=":material/label:", key="board.label"):
            st.text_input("Add tags", key=KEYS[0], placeholder="paper, baseline")
            st.text_area("Note", key=KEYS[1], max_chars=LONGEST_NOTE, placeholder="Empty leaves the notes as they are.")
            st.button("Save", key="board.save", type="primary", on_click=_save, args=(runs,))
            for tag in sorted({tag for run in runs for tag in said[run.id].tags}):
                st.button(f"Remove {as_text(tag)}", key=f"board.remove.{tag}", on_click=_remove, args=(runs, tag))
        st.button(
            "Bring back" if away else "Archive",
            key="board.archive",
            icon=":material/unarchive:" if away else ":material/archive:",
            on_click=_archive,
            args=(away or runs, not away),
            help="Archived runs stay, but no picker offers them and no rule chooses them.",
        )


def _save(runs: Sequence[Run]) -> None:
    tags = [t for t in st.session_state[KEYS[0]].split(",") if t.strip()]
    try:
        for run in runs:
            run.remark(add=tags, note=st.session_state[KEYS[1]].strip() or None)
    except UserError as error:
        st.session_state["board.refused"] = str(error)
        return
    for key in KEYS:
        st.session_state[key] = ""


@widgets.acting
def _remove(runs: Sequence[Run], tag: str) -> None:
    for run in runs:
        run.remark(remove=[tag])


@widgets.acting
def _archive(runs: Sequence[Run], away: bool) -> None:
    for run in runs:
        run.remark(archived=away)
    st.toast(f"{'Archived' if away else 'Brought back'}: {counted(len(runs), 'run')}.", icon=":material/archive:")


def _together(runs: Sequence[Run], rows: pd.DataFrame, protocol: str) -> None:
    """The validation curves of the selected runs."""
    curves = []
    for run, name, seed in zip(runs, rows["configuration"], rows["seed"], strict=True):
        events = run.events()
        if not events.empty and "Overall" in (found := validation_frame(events, METRIC, protocol)):
            label = f"{name}, seed {seed}"
            curves.append(found[["epoch", "Overall"]].assign(run=label, label=run.label))
    if not curves:
        st.caption("The selected runs were not trained by epochs: they have no curves.")
        return
    frame = pd.concat(curves, ignore_index=True)
    exhibits.chart(
        overlaid_chart(frame, METRIC, widgets.mode()),
        key="board.curves",
        alt=f"{METRIC} on validation by epoch, a line for each of {counted(len(curves), 'run')}.",
        data=frame.drop(columns="label"),
        name="validation-curves",
    )


def _compare(names: Sequence[str]) -> None:
    """The way to Compare, with the configurations of the selected runs."""
    wanted = list(dict.fromkeys(names))
    if wanted and st.button(
        f"Compare {counted(len(wanted), 'configuration')}", icon=":material/balance:", key="board.go"
    ):
        links.preselect("compare", wanted)
        links.go(links.COMPARE)
