"""Whom the Neighbours page looks at: two runs, a need, a user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.doubts import Doubt
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.cache.protagonists import first_runs
from llmesr.views.neighbours.case import Case, changes, pick_users
from llmesr.views.shared import doubts, links, pickers, pins, widgets

NEEDS = {"helped": "Most helped", "hurt": "Most hurt", "random": "Random tail", "search": "Search"}
METRIC = "HR@10"
"""What the two configurations are held against each other by."""
OFFERED = 30


@dataclass(frozen=True, eq=False)
class Choice:
    """Whom the visitor looks at, and which runs are held against each other."""

    root: Store
    dataset: Dataset
    runs: list[Run]
    before: Run
    after: Run
    protocol: str
    thresholds: Thresholds
    case: Case

    def title(self, item: int) -> str:
        """The title of an item, or its id."""
        row = self.dataset.catalogue.iloc[item - 1]
        return str(row.get("title", "") or row["item_id"])


def choose(root: Store, dataset_id: str) -> Choice | None:
    """Two runs, a need, a user. Says what to do when there is nothing to choose from."""
    runs = artifacts.runs(root, dataset_id, finished=True)
    if not runs:
        widgets.empty(
            "No run of this dataset has finished yet.",
            links.TRAINING,
            "Train a run",
        )
        return None
    protocol = pickers.pick_protocol()
    dataset = artifacts.dataset(root, dataset_id)
    thresholds = pickers.pick_thresholds(root, dataset)
    by_id = {r.id: r for r in runs}
    first, second = _defaults(root, dataset_id, runs)
    with st.container(key="near-runs"):
        columns = st.columns(2)
    with columns[0]:
        baseline = links.choose("Baseline", list(by_id), "before", show=_namer(by_id), default=first)
    with columns[1]:
        chosen = links.choose("Run", list(by_id), "after", show=_namer(by_id), default=second)
    before, after = by_id[str(baseline)], by_id[str(chosen)]
    against = _doubts(root, dataset, before, after, protocol, thresholds)
    doubts.shown(root, dataset_id, against)
    compared = [before.id, after.id]
    pins.about(dataset, compared, thresholds, protocol=protocol, metric=METRIC, doubts=lambda: against)
    user = _user(root, dataset, before, after, protocol, thresholds)
    if user is None:
        return None
    return Choice(root, dataset, runs, before, after, protocol, thresholds, Case.of(dataset, user))


def _doubts(
    root: Store, dataset: Dataset, before: Run, after: Run, protocol: str, thresholds: Thresholds
) -> tuple[Doubt, ...]:
    """What stands against comparing the two configurations, whichever of their seeds are looked at."""
    every = evidence.everyone(root, dataset.id)
    pair = [next((c for c in every if run.id in c.ids), None) for run in (before, after)]
    lineup = {c.name: c.ids for c in pair if c is not None}
    if pair[0] is None or len(lineup) < 2:
        return ()
    return evidence.doubts(root, lineup, pair[0].name, thresholds, METRIC, protocol)


def _namer(by_id: dict[str, Run]) -> Callable[[str], str]:
    return lambda id: pickers.run_name(by_id[id])


def _defaults(root: Store, dataset_id: str, runs: list[Run]) -> tuple[str, str]:
    """The first run of the two that the overview's headline is about; where one is missing, the next best there is."""
    first, *others = first_runs(root, dataset_id, [r.id for r in runs])
    return first, others[0] if others else first


def _user(root: Store, dataset: Dataset, before: Run, after: Run, protocol: str, thresholds: Thresholds) -> int | None:
    """The user: from the link, a search, or the list of those most helped, hurt or drawn at random."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        need = links.choose("Tail users", list(NEEDS), "need", kind="segmented", show=NEEDS.__getitem__)
    if need == "search":
        with right:
            return _search(dataset)
    every = changes(artifacts.per_user(root, before.id), artifacts.per_user(root, after.id), protocol, thresholds)
    offered = pick_users(every, str(need), OFFERED, seed=st.session_state.get("near.seed", 0))
    if offered.empty:
        st.info(f"No tail user was {'helped' if need == 'helped' else 'hurt'} by this run.", icon=":material/info:")
        return None
    rows = {str(dataset.user_ids[r.user]): r for r in offered.itertuples()}
    with right, st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = links.choose("User", list(rows), "user", show=lambda id: _offer(id, rows[id]))
        if need == "random" and st.button("Draw again", icon=":material/casino:", key="near.draw"):
            st.session_state["near.seed"] = st.session_state.get("near.seed", 0) + 1
            st.rerun()
    return dataset.user(str(chosen))


def _offer(id: str, row: object) -> str:
    length, before, after = (int(getattr(row, name)) for name in ("history_length", "before", "after"))
    return f"{id[:24]} · {length} in training · rank {before:,} → {after:,}"


def _search(dataset: Dataset) -> int | None:
    linked = st.query_params.get("user", "")
    if "near.id" not in st.session_state or (linked and linked != st.session_state.get("near.linked")):
        st.session_state["near.id"] = linked
    text = st.text_input("User ID", key="near.id", icon=":material/search:", placeholder="the ID of any user").strip()
    st.session_state["near.linked"] = linked
    if not text:
        st.caption("Enter a user ID as it appears in the data.")
        return None
    user = dataset.user(text)
    st.session_state["near.linked"] = text
    links.write("user", text)
    return user
