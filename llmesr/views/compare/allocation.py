"""Weak users handed to a second ranker, on the Compare page: who they are, and what it gained beside its controls."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.scoring.allocation.allocate import ALLOCATED, RANDOM_ORDER, RANDOM_USERS, REPORT
from llmesr.views.cache import artifacts, evidence
from llmesr.views.compare.charts import difference_chart
from llmesr.views.compare.choice import Choice
from llmesr.views.shared import behind, clicks, exhibits, links, widgets
from llmesr.views.shared.words import as_text

ARMS = {
    ALLOCATED: "Weak, second ranker",
    RANDOM_ORDER: "Weak, random order",
    RANDOM_USERS: "Random, second ranker",
}
"""Whose lists, and who re-orders them; short enough to stand beside the chart in full."""
GROUPS = ("Overall", "Weak User", "Tail Item", "Head Item")
WHO = {"length": "items in the history", "popularity": "mean popularity of them", "spread": "spread of the scores"}


def allocations(choice: Choice) -> None:
    """One allocated run: who was handed over, and the gain with its interval beside the random controls."""
    found = {run.id: run for run in artifacts.runs(choice.root, choice.dataset.id, finished=True) if _allocated(run)}
    if not found:
        st.info("No weak users were handed to a second ranker on this dataset yet.", icon=":material/call_split:")
        st.code("llmesr allocate RUN --second RUN", language="bash")
        return
    chosen = found[str(links.choose("Allocation", list(found), "allocation", show=lambda id: found[id].manifest.name))]
    report = read(chosen)
    st.markdown(
        f"**{report['weak_users']:,} of {report['users']:,} users** are weak by what the training part says of them, "
        f"and {as_text(report['second'])} re-orders their lists; all others keep theirs."
    )
    _gains(choice, chosen, report)
    left, right = st.columns(2)
    with left:
        st.caption("Who they are (means, training part)")
        who = pd.DataFrame(report["who"])
        who["feature"] = who["feature"].map(lambda name: WHO.get(name, name))
        exhibits.table(who, key=f"who.{chosen.id}", name="weak-users")
    with right:
        _share(report, chosen)


def read(run: Run) -> dict[str, Any]:
    """The report of an allocated run. UserError when it cannot be read."""
    path = run.folder / REPORT
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}. Allocate again.") from error


def _allocated(run: Run) -> bool:
    return (run.folder / REPORT).is_file()


def _gains(choice: Choice, run: Run, report: dict[str, Any]) -> None:
    tests = pd.DataFrame(report["tests"])
    shown = tests[(tests["protocol"] == choice.protocol) & (tests["metric"] == "NDCG@10") & tests["group"].isin(GROUPS)]
    if shown.empty:
        st.caption("Its report has no comparison.")
        return
    frame = shown.assign(run=shown["run"].map(lambda arm: ARMS.get(arm, arm)), label="external")
    frame = frame.sort_values("group", key=lambda groups: groups.map(GROUPS.index), kind="stable")
    gain = shown[(shown["run"] == ALLOCATED) & (shown["group"] == "Overall")].iloc[0]
    with st.container(key="allocation-chart"):
        mark = clicks.chart(
            difference_chart(frame, "NDCG@10", "the run alone", "Paired by user.", widgets.mode()),
            key=f"allocation.{run.id}",
            parts=2,
            alt=f"Allocation changes NDCG@10 by {gain['difference']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}).",
            data=frame[["run", "group", "users", "difference", "low", "high", "p_adjusted"]],
            name=f"allocation-{run.id}",
        )
    _behind(choice, run, mark)
    if RANDOM_USERS not in set(shown["run"]):
        st.caption("No random users: every list of this second ranker costs money or time.")


def _behind(choice: Choice, run: Run, mark: list[str]) -> None:
    """The users behind a dot, ``mark`` its arm and its group: their ranks by the run alone and with the second."""
    if len(mark) != 2 or mark[1] not in GROUPS:
        return
    first = str(run.manifest.config.get("first", ""))
    if mark[0] != ARMS[ALLOCATED] or mark[1] == "Weak User" or not choice.root.exists("runs", first):
        st.caption("Of this dot no user's ranks are kept.")
        return
    pair = {"before": (first,), "after": (run.id,)}
    moved = evidence.movers(choice.root, pair, "NDCG@10", choice.protocol)
    rows = behind.of_movers(moved, choice.dataset, choice.dataset.thresholds, mark[1])
    behind.users(rows, f"{mark[1]}: the run alone (before) and with the second ranker (after)", f"allocation.{run.id}")


def _share(report: dict[str, Any], run: Run) -> None:
    if not report["chosen_from"]:
        st.caption(f"The share of weak users, {report['share']:.0%}, was given.")
        return
    st.caption(f"Gain in NDCG@10 on validation by share of weak users; {report['share']:.0%} was chosen")
    exhibits.table(pd.DataFrame(report["chosen_from"]), key=f"shares.{run.id}", name="shares")
