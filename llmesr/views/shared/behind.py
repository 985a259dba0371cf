"""Who is behind a mark of a chart: users with both ranks, or items, and from each the way to the pages about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.ids import write_line
from llmesr.prose import counted, signed
from llmesr.views.shared import clicks, exhibits, links
from llmesr.views.shared.words import as_text

MOST = 1000
"""Rows that are listed; the file holds them all."""
RANKS: dict[str, Callable[[float], str]] = {
    "gain": signed,
    "rank before": "{:,.0f}".format,
    "rank after": "{:,.0f}".format,
    "rank": "{:,.0f}".format,
}


def of_movers(movers: pd.DataFrame, dataset: Dataset, thresholds: Thresholds, group: str = "Overall") -> pd.DataFrame:
    """Users by gain: user, gain, rank before, rank after, held-out item, its and the user's training interactions.
    ``movers`` as from :func:`evaluation.contrast.movers`."""
    members = thresholds.members(movers["target_popularity"].to_numpy(), movers["history_length"].to_numpy())
    rows = movers[members.get(group, np.zeros(len(movers), bool))]  # nobody, where there are no cold items
    titles = dataset.catalogue["title"].to_numpy(object)[rows["target"].to_numpy() - 1]
    return pd.DataFrame(
        {
            "user": rows["user_id"],
            "gain": rows["gain"],
            "rank before": rows["rank_before"],
            "rank after": rows["rank_after"],
            "held-out item": titles,
            "item's interactions": rows["target_popularity"],
            "user's interactions": rows["history_length"],
        }
    ).reset_index(drop=True)


def of_items(numbers: Any, dataset: Dataset, thresholds: Thresholds) -> pd.DataFrame:
    """The items of these ``numbers`` (1..N) in their order: item, title, group, training interactions."""
    rows = dataset.catalogue.iloc[[int(n) - 1 for n in numbers]]
    counts = dataset.item_counts[[int(n) for n in numbers]]
    return pd.DataFrame(
        {
            "item": rows["item_id"].to_numpy(object),
            "title": rows["title"].to_numpy(object),
            "group": [thresholds.item_group(int(n)) for n in counts],
            "training interactions": counts,
        }
    )


def item_number(told: str, dataset: Dataset) -> int:
    """The item (1..N) that a mark names; 0 where a link says something else."""
    number = int(told) if told.isdecimal() else 0
    return number if number <= dataset.n_items else 0


def users(rows: pd.DataFrame, title: str, key: str, *, k: int | None = None, **link: str) -> None:
    """Users; a chosen one leads to Neighbours and to Recommend. With ``k`` it is said how many are missed by both in
    the first ``k``. ``link``: what else the links carry."""
    said = counted(len(rows), "user")
    if k is not None:
        missed = int((rows[["rank before", "rank after"]].min(axis=1) > k).sum())
        said += f", {missed:,} of them missed by both in the first {k}"
    to_user(_table(rows, f"**{title}** :gray[{said}]", key, "users"), rows, **link)


def items(rows: pd.DataFrame, title: str, key: str) -> None:
    """Items (see :func:`of_items`); a chosen one leads to Recommend, to the map and to the Lab."""
    to_item(_table(rows, f"**{title}** :gray[{counted(len(rows), 'item')}]", key, "items"), rows)


def _table(rows: pd.DataFrame, heading: str, key: str, name: str) -> Any:
    """The heading, what closes the list, and the table; the selection is returned."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(heading, width="content")
        st.button(
            "Close",
            key=f"drill.{key}.close",
            icon=":material/close:",
            type="tertiary",
            on_click=clicks.close,
            args=(key,),
        )
    picked = exhibits.table(
        rows.head(MOST),
        key=f"drill.{key}",
        name=name,
        height=min(36 * (len(rows) + 1), 320),
        on_select="rerun",
        selection_mode="single-row",
        formats={column: said for column, said in RANKS.items() if column in rows},
        alt=f"{name.capitalize()} behind the mark that was clicked.",
    )
    if len(rows) > MOST:
        label = f"Download all {len(rows):,}"
        exhibits.download_csv(rows, f"all-{name}", key=f"drill.{key}.all", label=label)
    return picked


def to_user(picked: Any, rows: pd.DataFrame, **link: str) -> None:
    """Links to the pages about the user of the chosen row."""
    at = _chosen(picked, rows)
    if at is None:
        st.caption("Select a row to open that user.")
        return
    ways_of_user(str(rows.iloc[at]["user"]), **link)


def ways_of_user(user: str, **link: str) -> None:
    """Links to the pages about a user."""
    with st.container(horizontal=True):
        links.link(links.NEIGHBOURS, f"{as_text(user, 60)} on Neighbours", need="search", user=user, **link)
        links.link(links.RECOMMEND, f"{as_text(user, 60)} on Recommend", source="user", user=user, **link)


def to_item(picked: Any, rows: pd.DataFrame) -> None:
    """Links to the pages about the item of the chosen row."""
    at = _chosen(picked, rows)
    if at is None:
        st.caption("Select a row to open that item.")
        return
    ways_of_item(str(rows.iloc[at]["item"]), str(rows.iloc[at]["title"]))


def ways_of_item(item: str, title: str, *, to_map: bool = True) -> None:
    """Links to the pages about an item, by its id; not ``to_map`` where one looks at it."""
    with st.container(horizontal=True):
        recommend = f"Recommend after {as_text(title, 60)}"
        links.link(links.RECOMMEND, recommend, source="build", history=write_line([item]))
        if to_map:
            links.link(links.EMBEDDINGS, "On the map", of="items", point=item)
        links.link(links.LAB, "Its text in the Lab", lab="edit", item=item)


def _chosen(picked: Any, rows: pd.DataFrame) -> int | None:
    at = picked["selection"]["rows"] if picked else []
    return int(at[0]) if at and at[0] < len(rows) else None
