"""What the Neighbours page shows: choose a user by need, then everything that is known about this one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.contenders import best_of_each, best_without_and_with_text
from llmesr.evaluation.doubts import Doubt
from llmesr.maps.spaces import parts_of
from llmesr.prose import counted, signed
from llmesr.runs.record import Run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import model_run
from llmesr.scoring.units import short
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence, models, spaces
from llmesr.views.neighbours import charts
from llmesr.views.neighbours.case import (
    SOURCES,
    Case,
    Retrieved,
    aligned,
    changes,
    contribution,
    nearest_users,
    neighbour_table,
    pick_users,
    rank_table,
)
from llmesr.views.shared import doubts, exhibits, links, pickers, pins, theme, widgets
from llmesr.views.shared.words import as_text

NEEDS = {"helped": "Most helped", "hurt": "Most hurt", "random": "Random tail", "search": "Search"}
METRIC = "HR@10"
"""What the two configurations are held against each other by."""
OFFERED = 30
SHOWN = 10
STEPS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Content weights tried, in units of the spread of the model's own scores for this user."""


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
    every, validation = evidence.everyone(root, dataset_id), partial(evidence.validation, root)
    pair = [c.ids[0] for c in best_without_and_with_text(every, validation) if c is not None]
    rest = [c.ids[0] for c in best_of_each(every, validation) if c.ids[0] not in pair] + [r.id for r in runs]
    first, second, *_ = [*pair, *rest, *rest]
    return first, second


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


def heading(choice: Choice) -> None:
    """Who this is, what was held out, and how the two runs did."""
    case, dataset = choice.case, choice.dataset
    length = int(dataset.split.train_lengths[case.user])
    group = choice.thresholds.user_group(length)
    st.subheader(f"User {as_text(case.user_id, 60)}", anchor=False)
    st.markdown(f":gray[{group}, {counted(length, 'training interaction')}]")
    if case.target is None:
        st.info("Fewer than three interactions: nothing is held out for this user, so nothing was ranked.")
        return
    ranks = rank_table(_frames(choice, [choice.before, choice.after]), case.user, choice.protocol).set_index("run")
    columns = st.columns([5, 2, 2])
    with columns[0]:
        popularity = int(dataset.item_counts[case.target])
        kind = choice.thresholds.item_group(popularity)
        st.markdown(f"Held-out item  \n**{as_text(_title(dataset, case.target), 140)}**")
        st.caption(f"{kind}, {counted(popularity, 'training interaction')}")
    first, second = (int(ranks["rank"].get(r.id, 0)) for r in (choice.before, choice.after))
    with columns[1]:
        st.metric(f"Rank by {choice.before.label}", theme.count(first or None))
    with columns[2]:
        moved = signed(first - second, 0) if first and second and first != second else None
        st.metric(f"Rank by {choice.after.label}", theme.count(second or None), delta=moved, help="Places gained")


def _title(dataset: Dataset, item: int) -> str:
    row = dataset.catalogue.iloc[item - 1]
    return str(row.get("title", "") or row["item_id"])


def _frames(choice: Choice, runs: list[Run]) -> list[tuple[Run, pd.DataFrame]]:
    return [(run, artifacts.per_user(choice.root, run.id)) for run in runs]


def similar_users(choice: Choice) -> None:
    """Both sets of similar users with their similarity, histories aligned, and what they know."""
    st.subheader("Similar users", anchor=False)
    found = {source: _retrieved(choice, source) for source in SOURCES}
    tables = {s: neighbour_table(choice.dataset, choice.case, r) for s, r in found.items() if isinstance(r, Retrieved)}
    if choice.case.target is not None:
        st.markdown(contribution(tables, _title(choice.dataset, choice.case.target)))
    for column, (source, answer) in zip(st.columns(2), found.items(), strict=True):
        with column:
            st.markdown(f"**{SOURCES[source].capitalize()}**")
            if not isinstance(answer, Retrieved):
                st.info(answer)
                continue
            st.caption(answer.how)
            if not len(answer.users):
                st.info("Nobody: this user has no vector here.")
                continue
            _neighbours(choice, source, answer, tables[source])


def _neighbours(choice: Choice, source: str, found: Retrieved, table: pd.DataFrame) -> None:
    frame = aligned(choice.dataset, choice.case, found)
    shown = table.rename(
        columns={
            "user_id": "User",
            "similarity": "Cosine",
            "length": "Items in training",
            "shared": "In common",
            "knows": "Chose the held-out item",
        }
    ).drop(columns="user")
    exhibits.chart(
        charts.histories_figure(frame, found.similarity, widgets.mode(), np.flatnonzero(table["knows"]) + 1),
        key=f"near.{source}",
        alt=f"Histories of the user and of the {len(table)} users most similar {SOURCES[source]}, newest at the right; "
        f"{int((table['shared'] > 0).sum())} share an item, {int(table['knows'].sum())} chose the held-out item.",
        data=shown,
        name=f"similar-{source}",
        column_config={"Cosine": st.column_config.NumberColumn("Cosine", format="%.3f")},
    )
    box = links.folded("Items, side by side", f"items-{source}")
    if not box.open:
        return
    with box:
        listed = frame[["user_id", "step", "title", "kind"]].copy()
        listed["user_id"] = np.where(frame["row"] == 0, "this user", listed["user_id"])
        exhibits.table(
            listed.rename(columns={"user_id": "User", "step": "Place", "title": "Title", "kind": "Kind"}),
            key=f"near.{source}.items",
            name=f"histories-{source}",
            height=300,
        )


def _retrieved(choice: Choice, source: str) -> Retrieved | str:
    """Similar users, or the sentence that says why there are none."""
    root, dataset, user = choice.root, choice.dataset, choice.case.user
    run = model_run(choice.after)
    try:
        if source == "behaviour":
            if parts_of(run):
                units = spaces.users_by_behaviour(root, dataset.id, run.id)
                return nearest_users(units, user, SHOWN, f"Cosine of the user vectors of {run.label}.")
            return f"{run.label} does not represent users. Choose a trained run."
        if (taught := run.manifest.parent("neighbours")) and root.exists("neighbours", taught):
            stored = spaces.similar(root, taught)
            users, cosine = stored.users[user][:SHOWN], stored.similarity[user][:SHOWN]
            how = "Cosine of user text vectors: the users this run was taught by."
            return Retrieved(users[users >= 0], cosine[users >= 0], how)
        id = run.manifest.parent("embeddings") or evidence.newest_embedding(root, dataset.id)
        if id is None:
            return "This dataset has no text vectors yet; embed it on the Training page."
        units = spaces.users_by_text(root, dataset.id, id)
        return nearest_users(
            units, user, SHOWN, "Cosine of user text vectors. This run was not taught by similar users."
        )
    except UserError as error:
        return as_text(error, 600)


def ranks(choice: Choice) -> None:
    """Where every run ranked the held-out item, and what a content term would do to the chosen run."""
    if choice.case.target is None:
        return
    st.subheader("Where the held-out item was ranked", anchor=False)
    table = rank_table(_frames(choice, choice.runs), choice.case.user, choice.protocol)
    left, right = st.columns([3, 2])
    with left:
        exhibits.chart(
            charts.rank_figure(table, widgets.mode()),
            key="near.ranks",
            alt="Rank of the held-out item by run: "
            + ", ".join(f"{r.label} {r.rank:,} of {r.candidates:,}" for r in table.itertuples()),
            data=table.drop(columns="run").rename(columns=str.capitalize),
            name="ranks-of-the-held-out-item",
        )
    with right:
        st.markdown("**If text counted more** :gray[(full ranking)]")
        _content(choice)


def _content(choice: Choice) -> None:
    run, case = choice.after, choice.case
    assert case.target is not None
    try:
        recommender = models.recommender(choice.root, run.id)
        unit = models.units(choice.root, run.id).of("content")
    except UserError as error:
        st.info(as_text(error, 600))
        return
    if unit == 0:
        st.info("The content term needs text vectors of this dataset.")
        return
    policies = [ScoringPolicy(gamma=short(step * unit)) for step in STEPS]
    found = recommender.ranks_of(case.read.tolist(), case.target, policies)
    frame = pd.DataFrame({"weight": STEPS, "rank": found})
    exhibits.chart(
        charts.content_figure(frame, run.label, widgets.mode()),
        key="near.content",
        alt="Rank of the held-out item by content weight: "
        + ", ".join(f"{w:g}: {r:,}" for w, r in zip(STEPS, found, strict=True)),
        name="content-term",
    )
    st.caption(
        "A content term is added to the scores: how similar the text of a candidate is to that of the closest item in "
        f"the history. At weight 1 it counts as much as {run.label}'s own scores."
    )
