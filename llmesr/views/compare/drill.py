"""Who is behind a dot, a cell or a slice: the users it is about, both ranks of each, and the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from llmesr.prose import counted, signed
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.frames import drill_down
from llmesr.views.shared import exhibits, links
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text

MOST = 1000
"""Users that are listed; the file holds them all."""
RANKS = {"gain": signed, "rank before": "{:,.0f}".format, "rank after": "{:,.0f}".format}


def clicked(event: Any) -> list[Any]:
    """What the dot that was clicked carries (its customdata), however the browser wraps it; empty without one."""
    points = event.selection.points if event else []
    told = points[0].get("customdata") if points else None
    return list(told.values()) if isinstance(told, dict) else list(told or [])


def of_point(choice: Choice, event: Any, key: str) -> None:
    """The users behind a dot that was clicked. It carries last its configuration and its group, as plotly has them."""
    told = clicked(event)
    if len(told) >= 2:
        run = next((name for name in choice.lineup if plain(name) == told[-2]), "")
        of_group(choice, run, str(told[-1]), key)


def of_cell(choice: Choice, event: Any, runs: Sequence[str], key: str) -> None:
    """The users behind a cell of the matrix that was clicked: ``runs`` are its rows, its columns are groups."""
    cells = event.selection.cells if event else []
    if cells and cells[0][0] < len(runs) and cells[0][1] != "configuration":
        of_group(choice, runs[cells[0][0]], str(cells[0][1]), key)


def of_group(choice: Choice, run: str, group: str, key: str) -> None:
    """The users of a group, with the ranks of a configuration beside those of the baseline."""
    after = run if run in choice.others else next(iter(choice.others), None)
    if after is None:
        st.caption("Add a second configuration: users are listed with the ranks of two.")
        return
    rows = drill_down(choice.movers(after), choice.dataset, choice.thresholds, group)
    title = f"{group}: {as_text(choice.reference)} (before) and {as_text(after)} (after)"
    users(choice, rows, title, key)


def users(choice: Choice, rows: pd.DataFrame, title: str, key: str) -> None:
    """Users with both ranks; a chosen one leads to Neighbours and to Recommend."""
    missed = int((rows[["rank before", "rank after"]].min(axis=1) > choice.k).sum())
    st.markdown(
        f"**{title}** :gray[{counted(len(rows), 'user')}, {missed:,} of them missed by both in the first {choice.k}]"
    )
    picked = exhibits.table(
        rows.head(MOST),
        key=f"drill.{key}",
        name="users",
        height=320,
        on_select="rerun",
        selection_mode="single-row",
        formats=RANKS,
        alt=f"Users of {title}.",
    )
    if len(rows) > MOST:
        exhibits.download_csv(rows, "all-users", key=f"drill.{key}.all", label=f"Download all {len(rows):,}")
    to_user(picked, rows)


def to_user(picked: Any, rows: pd.DataFrame) -> None:
    """Links to the pages about the user of the chosen row."""
    at = picked.selection.rows if picked else []
    if not at or at[0] >= len(rows):
        st.caption("Select a row to open that user.")
        return
    user = str(rows.iloc[at[0]]["user"])
    with st.container(horizontal=True):
        links.link(links.NEIGHBOURS, f"{as_text(user, 60)} on Neighbours", need="search", user=user)
        links.link(links.RECOMMEND, f"{as_text(user, 60)} on Recommend", source="user", user=user)
