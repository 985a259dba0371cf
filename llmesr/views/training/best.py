"""The best recommender from the Training page: the time there is, what it will be spent on, and what came of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from llmesr.config import EXTERNAL, BestConfig
from llmesr.contest.find import planned
from llmesr.data.dataset import Dataset
from llmesr.jobs import plans
from llmesr.jobs.record import Step
from llmesr.prose import duration, listed
from llmesr.runs.contest import Contest
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import exhibits, forms, job_panels, links, pickers, widgets
from llmesr.views.shared.words import as_text

ABOUT = (
    "Linear models, sequence models, their blends and a scoring policy compete on validation, as far as the time "
    "allows. The winner is a run like any other, and says what it was chosen from."
)
ROW = 35
"""Pixels of a row: all candidates are seen at once."""
CELLS = {"full/Overall/NDCG@10": "full NDCG@10", "uni100/Overall/NDCG@10": "uni100 NDCG@10"}


def form(root: Store, manifest: Manifest, data: Dataset) -> None:
    """Time and objective, what will be tried, and the button."""
    st.markdown(ABOUT)
    schema, start = forms.settings(BestConfig), BestConfig().model_dump()
    columns, values = st.columns(3), {}
    for name, column in zip(("minutes", "objective", "seed"), columns, strict=True):
        with column:
            values[name] = forms.setting_widget(schema[name], start[name], f"best.{name}", linked=True)
    if not len(data.split.users("valid")):
        st.info("Nobody can be asked on validation: no user has a past and a target there.", icon=":material/group:")
        return
    config = BestConfig.read(None, **values)
    plan = planned(data, config, root)
    tried = [f"{candidate.name} ({duration(seconds)})" for candidate, seconds, fits in plan if fits]
    late = [candidate.name for candidate, _, fits in plan if not fits]
    st.caption(
        f"Likely tried, with about how long each takes: {listed(tried)}."
        + (f" Likely too long for that time: {listed(late)}." if late else "")
    )
    step = plans.best_step(manifest.id, forms.changes(values, start), name=manifest.name)
    st.button(
        "Find the best", type="primary", icon=":material/trophy:", on_click=_launch, args=(root, manifest, step, "best")
    )
    with links.folded("Equivalent command", "command", icon=":material/terminal:"):
        st.code(plans.command_line(step), language="bash", wrap_lines=True)


def blend_form(root: Store, manifest: Manifest) -> None:
    """Runs of one's own, added up."""
    runs = {r.id: r for r in artifacts.runs(root, manifest.id, finished=True)}
    usable = [i for i, r in runs.items() if r.config.method != EXTERNAL and "policy" not in r.manifest.info]
    if len(usable) < 2:
        return
    with links.folded("Blend runs of your choice", "blend", icon=":material/join:"):
        chosen = links.choose_many(
            "Runs to add up",
            usable,
            "blend",
            show=lambda id: f"{pickers.run_name(runs[id])} ({id})",
            help="Their weights, which follow the popularity of an item, are fitted on validation.",
        )
        lengths = {runs[id].config.max_length for id in chosen}
        if len(lengths) > 1:
            st.error("These runs read histories of different lengths: choose runs with the same max_length.")
        trees = st.toggle(
            "Trees on top",
            key="trees",
            bind="query-params",
            help="Small trees, grown on validation, weigh once more what the runs say of an item. How many, maybe "
            "none, is what half of the users say of the trees of the other half. Worth a try with many runs that "
            "differ.",
        )
        arguments = [*chosen, *["--trees"] * trees, "--json"]
        step = Step(verb="blend", arguments=arguments, label="Blend runs", reads=[f"runs/{id}" for id in chosen])
        st.button(
            "Blend",
            icon=":material/join:",
            disabled=len(chosen) < 2 or len(lengths) > 1,
            on_click=_launch,
            args=(root, manifest, step, "blend"),
        )


@widgets.acting
def _launch(root: Store, manifest: Manifest, step: Step, kind: str) -> None:
    label = f"{step.label} of {manifest.name}"
    artifacts.jobs(root).submit_steps([step], kind=kind, label=label, parents=[f"datasets/{manifest.id}", *step.reads])
    if kind == "blend":
        links.preselect("part", "queue")
    elif step.run:
        links.preselect("contest", step.run)


def history(root: Store, manifest: Manifest) -> None:
    """The contests of the dataset: one that is carried out live, and the table of each."""
    done = [m.id for m in artifacts.manifests(root, "contests") if m.parent("datasets") == manifest.id]
    jobs = [j for j in artifacts.jobs(root).using("datasets", manifest.id) if j.record.steps[0].makes == "contests"]
    ids = [*(str(j.record.steps[0].run) for j in jobs if j.record.steps[0].run not in done), *done]
    if not ids:
        return
    st.subheader("Contests")
    chosen = str(links.choose("Contest", ids, "contest"))
    job_panels.watch(root, "contests", chosen, _draw)


def _draw(root: Store, contest_id: str) -> None:
    if root.exists("contests", contest_id):
        _outcome(Contest(root, contest_id))


def _outcome(contest: Contest) -> None:
    info, entries = contest.manifest.info, contest.entries()
    if "run" in info:
        st.success(f"Best: **{as_text(info['candidate'])}**.", icon=":material/trophy:")
        left, right = st.columns(2)
        with left:
            links.link(links.RECOMMEND, "Recommend with it", ":material/recommend:", recommenders=info["run"])
        with right:
            links.link(links.COMPARE, "Compare it with others", ":material/balance:")
    if not entries:
        return
    exhibits.table(
        outcome_frame(entries, info),
        key=f"contest.{contest.id}",
        name=f"contest-{contest.id}",
        height=ROW * (len(entries) + 1) + 3,
        alt="Every candidate with its validation metrics, its share of the best, seconds, and what became of it.",
        column_config={
            **{name: st.column_config.NumberColumn(format="%.4f") for name in CELLS.values()},
            "share of the best": st.column_config.NumberColumn(format="percent"),
            "seconds": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    judged = as_text(info.get("criterion", "The best is chosen at the end, on validation."), 600)
    st.caption(f"{judged} Blends and the policy are judged by weights fitted on other users.")


def outcome_frame(entries: list[dict[str, Any]], info: dict[str, Any]) -> pd.DataFrame:
    """A row per candidate: its metrics, its share of the best, seconds, and what became of it and why."""
    rows = []
    for entry in entries:
        state = "chosen" if entry["candidate"] == info.get("candidate") else entry["state"]
        rows.append(
            {
                "candidate": entry["candidate"],
                **{title: entry["metrics"].get(name) for name, title in CELLS.items()},
                "share of the best": info.get("shares", {}).get(entry["candidate"]),
                "seconds": entry["seconds"],
                "outcome": f"{state}: {entry['reason']}" if entry["reason"] else state,
            }
        )
    return pd.DataFrame(rows)
