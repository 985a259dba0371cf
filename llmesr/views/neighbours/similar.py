"""Users who are similar by text and by behaviour, with their histories aligned and what they know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.errors import UserError
from llmesr.maps.spaces import parts_of
from llmesr.scoring.scored_run import model_run
from llmesr.views.cache import evidence, spaces
from llmesr.views.neighbours import charts
from llmesr.views.neighbours.case import SOURCES, Retrieved, aligned, contribution, nearest_users, neighbour_table
from llmesr.views.neighbours.choice import Choice
from llmesr.views.shared import behind, clicks, exhibits, links, widgets
from llmesr.views.shared.words import as_text

SHOWN = 10


def similar_users(choice: Choice) -> None:
    """Both sets of similar users with their similarity, histories aligned, and what they know."""
    st.subheader("Similar users", anchor=False)
    found = {source: _retrieved(choice, source) for source in SOURCES}
    tables = {s: neighbour_table(choice.dataset, choice.case, r) for s, r in found.items() if isinstance(r, Retrieved)}
    if choice.case.target is not None:
        st.markdown(contribution(tables, choice.title(choice.case.target)))
    with st.container(key="beside-histories"):
        columns = st.columns(2)
    for column, (source, answer) in zip(columns, found.items(), strict=True):
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
    mark = clicks.chart(
        charts.histories_figure(frame, found.similarity, widgets.mode(), np.flatnonzero(table["knows"]) + 1),
        key=f"near.{source}",
        parts=2,
        alt=f"Histories of the user and of the {len(table)} users most similar {SOURCES[source]}, newest at the right; "
        f"{int((table['shared'] > 0).sum())} share an item, {int(table['knows'].sum())} chose the held-out item.",
        data=shown,
        name=f"similar-{source}",
        column_config={"Cosine": st.column_config.NumberColumn("Cosine", format="%.3f")},
    )
    _behind(choice, mark)
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


def _behind(choice: Choice, mark: list[str]) -> None:
    """The ways to the user and to the item behind a mark of the histories."""
    data = choice.dataset
    number = behind.item_number(mark[1], data) if len(mark) == 2 else 0
    if not number:
        st.caption("Click a mark to open its item, and the user who chose it.")
        return
    title = choice.title(number)
    st.markdown(f"**{as_text(title, 140)}**, chosen by {as_text(mark[0], 60)}")
    if mark[0] != choice.case.user_id:
        behind.ways_of_user(mark[0])
    behind.ways_of_item(str(data.catalogue["item_id"].iloc[number - 1]), title)


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
