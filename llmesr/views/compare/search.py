"""The searches of a dataset on the Compare page: every trial, what mattered, and the way to the best run."""

from __future__ import annotations

import streamlit as st

from llmesr.data.groups import Thresholds
from llmesr.runs.search import Search
from llmesr.views.cache import artifacts, evidence
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.search_charts import trials_chart
from llmesr.views.shared import exhibits, links, theme, widgets
from llmesr.views.shared.job_panels import WORDS
from llmesr.views.shared.words import as_text


def searches(choice: Choice) -> None:
    """One search: where it stands, its trials, its best run."""
    found = {s.id: s for s in artifacts.searches(choice.root, choice.dataset.id)}
    widgets.damaged(choice.root, "searches")
    if not found:
        widgets.empty("No search for settings on this dataset yet.", links.TRAINING, "Search for settings")
        return
    chosen = found[str(links.choose("Search", list(found), "search", show=lambda id: _named(found[id])))]
    trials, config, status = chosen.table(), chosen.config, chosen.status()
    metric = f"{config.objective} {config.metric}"
    if status.state != "SUCCEEDED":
        left = f", about {theme.duration(status.seconds_left)} left" if status.state == "RUNNING" else ""
        st.info(f"{len(trials)} of {config.trials} trials are done; {WORDS[status.state]}{left}.")
    if trials.empty:
        return
    exhibits.chart(
        trials_chart(trials, list(config.space), metric, widgets.mode()),
        key="trials",
        alt=f"{metric} on validation of {len(trials)} trials; the best reached {theme.metric(status.best)}.",
        data=trials,
        name=f"trials-{chosen.id}",
        column_config={n: st.column_config.NumberColumn(format="%.4f") for n in ("value", "best")},
    )
    kept = chosen.thresholds
    thresholds = Thresholds.model_validate(kept) if kept else choice.thresholds
    exhibits.caption(config.protocol, thresholds, choice.dataset.split_config, "valid")
    if not kept:
        exhibits.definition_not_kept("This search was begun")
    info = chosen.manifest.info
    if info.get("importance"):
        shares = [f"{as_text(name.replace('_', ' '))} {share:.0%}" for name, share in info["importance"].items()]
        st.caption(f"Settings that mattered most: {', '.join(shares)}.", help="PED-ANOVA over the complete trials.")
    if "run" in info:
        _offer(choice, str(info["run"]))


def _offer(choice: Choice, run_id: str) -> None:
    """The best run, to be compared or cloned."""
    every = evidence.everyone(choice.root, choice.dataset.id)
    name = next((c.name for c in every if run_id in c.ids), None)
    if name is None:
        st.caption("Its best run was deleted.")
        return
    with st.container(horizontal=True):
        picked = [c.name for c in choice.chosen]
        st.button(
            "Compare the best run",
            key="search.compare",
            type="primary",
            icon=":material/balance:",
            on_click=_compare,
            args=([*picked, name] if name not in picked else picked,),
        )
        links.link(links.TRAINING, "Train with its settings", clone=run_id)


def _compare(names: list[str]) -> None:
    links.preselect("compare", names)
    links.preselect("view", "groups")


def _named(search: Search) -> str:
    manifest = search.manifest
    return f"{search.label} · {manifest.config['trials']} trials · {theme.date(manifest.created)} ({search.id})"
