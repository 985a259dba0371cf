"""What past launches say of forecasts: worked out when asked for, by method."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.lab.past import Past, past_launches
from llmesr.scoring.scored_run import ScoredRun
from llmesr.views.cache import models
from llmesr.views.lab import charts
from llmesr.views.lab.answers import answered
from llmesr.views.lab.choice import Choice
from llmesr.views.shared import behind, clicks, exhibits, links, widgets
from llmesr.views.shared.words import as_text

ABOUT = (
    "Past launches are the items that nobody had chosen before the last cut of the split and somebody did after it, "
    "scored by text alone as a new product is. Launches that nobody chose at all are not in the data: real ones do "
    "worse."
)


def known(choice: Choice) -> Past | None:
    """The calibration of the run, where it has been asked for."""
    kept: dict[object, Past] = st.session_state.get("lab.answers", {})
    return kept.get(("past", choice.key))


def section(choice: Choice) -> None:
    """Forecasts against what happened, for the run and, when asked, for every run that reads text."""
    st.subheader("What became of past launches", anchor=False)
    if not choice.dataset.has_times:
        st.markdown(
            "Expected hits are calibrated on items that were new after a date. This data has only an order, no times, "
            "so nothing here can say how good the forecast is."
        )
        return
    if choice.dataset.split_config.kind != "temporal":
        st.markdown(
            "Expected hits are calibrated on items that were new after a date. This dataset holds out each user's last "
            "item instead; cut it in time and train a run on that."
        )
        links.link(links.DATASETS, "Make a temporal split", links.DATASETS.icon)
        return
    st.caption(ABOUT)
    with st.container(horizontal=True):
        this = st.button("Check this run", icon=":material/history:", key="lab.past.this")
        every = st.button(f"Check all {len(choice.runs)} runs", icon=":material/checklist:", key="lab.past.every")
    if this or every:
        wanted = choice.runs if every else [choice.run]
        st.session_state["lab.past"] = (choice.dataset.id, tuple(run.id for run in wanted))
    of, ids = st.session_state.get("lab.past", (None, ()))
    if of != choice.dataset.id:
        return
    found = [_of(choice, id) for id in ids]
    if this or every:
        st.rerun()  # the tiles above know the calibration from now on
    _shown(choice, found)


def _of(choice: Choice, id: str) -> Past:
    key = f"{choice.root.digest('runs', id)}.{choice.config.k}"

    def work(progress: object) -> Past:
        scored: ScoredRun = models.recommender(choice.root, id).scored
        return past_launches(scored, choice.config, progress)  # type: ignore[arg-type]

    return answered(("past", key), work)


def _shown(choice: Choice, found: list[Past]) -> None:
    exhibits.table(table(found), key="lab.past.table", name="past-launches")
    for one in found:
        if one.lacking:
            st.info(as_text(f"{one.label}: {one.lacking}"), icon=":material/info:")
    enough = [one for one in found if not one.lacking]
    if not enough:
        return
    caption = f"{choice.dataset.split_config.describe()} First {choice.config.k}, full ranking; 95% over launches"
    frame = pd.concat([one.table.assign(run=one.run, method=one.label) for one in enough])
    mark = clicks.chart(
        charts.past_chart(enough, caption, widgets.mode()),
        key="lab.past.chart",
        parts=2,
        alt="; ".join(f"{one.label}: hits are {one.factor[0]:.2f} times those expected" for one in enough),
        data=frame,
        name="past-launches-by-forecast",
    )
    of = next((one for one in enough if mark[:1] == [one.run]), None)
    if of is not None and mark[1] in map(str, range(len(of.alike))):
        columns = ["item_id", "title", "reach", "expected", "hits", "chosen"]
        rows = of.alike[int(mark[1])][columns].rename(columns={"item_id": "item"}).round({"expected": 2})
        behind.items(rows, f"Past launches, {as_text(of.label)}", "lab.past.chart")


def table(found: list[Past]) -> pd.DataFrame:
    """A row for each run: launches, users, lists they stood in, expected hits, hits, and their ratio."""
    rows = []
    for one in found:
        sums = one.launches[["reach", "expected", "hits"]].sum()
        ratio = "too few to say" if one.lacking else "{:.2f} ({:.2f} to {:.2f})".format(*one.factor)
        rows.append((one.label, len(one.launches), one.users, *sums, ratio))
    columns = ["Method", "Launches", "Users asked", "In lists", "Expected hits", "Hits", "Hits / expected (95%)"]
    return pd.DataFrame(rows, columns=columns).round({"Expected hits": 1})
