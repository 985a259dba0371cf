"""Who is behind a dot, a cell or a slice: the users it is about, both ranks of each, and the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from llmesr.prose import counted, signed
from llmesr.views.cache import segments
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.frames import drill_down
from llmesr.views.compare.trade_off_charts import OUTCOMES
from llmesr.views.shared import exhibits, people
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text

MOST = 1000
"""Users that are listed; the file holds them all."""
RANKS = {"gain": signed, "rank before": "{:,.0f}".format, "rank after": "{:,.0f}".format}


def of_point(choice: Choice, event: Any, key: str) -> None:
    """The users behind a dot that was clicked. It carries last its configuration and its group, as plotly has them."""
    told = people.clicked(event)
    if len(told) >= 2:
        run = next((name for name in choice.lineup if plain(name) == told[-2]), "")
        of_group(choice, run, str(told[-1]), key)


def of_cell(choice: Choice, event: Any, runs: Sequence[str], key: str) -> None:
    """The users behind a cell of the matrix that was clicked: ``runs`` are its rows, its columns are groups."""
    cells = event.selection.cells if event else []
    if cells and cells[0][0] < len(runs) and cells[0][1] != "configuration":
        of_group(choice, runs[cells[0][0]], str(cells[0][1]), key)


def of_bucket(choice: Choice, event: Any, dimension: str, key: str) -> None:
    """The users behind a dot of a curve: ``dimension`` is popularity or length."""
    told = people.clicked(event)
    run = next((name for name in choice.lineup if told and plain(name) == told[-2]), "")
    if after := _after(choice, run) if run else None:
        inside = segments.users_in_bucket(choice.root, choice.lineup, dimension, str(told[-1]), choice.protocol)
        moved = choice.movers(after)
        rows = drill_down(moved[moved["user"].isin(inside)], choice.dataset, choice.thresholds)
        users(choice, rows, f"{told[-1]} interactions: {_sides(choice, after)}", key)


def of_outcome(choice: Choice, after: str, event: Any, key: str) -> None:
    """The users behind a part of a bar: of a group those who gained, lost, or neither."""
    told = people.clicked(event)
    if len(told) == 3:
        moved = choice.movers(after)
        rows = drill_down(moved[moved["outcome"] == told[1]], choice.dataset, choice.thresholds, str(told[2]))
        users(choice, rows, f"{told[2]}, {OUTCOMES[str(told[1])][1]}: {_sides(choice, after)}", key)


def of_group(choice: Choice, run: str, group: str, key: str) -> None:
    """The users of a group, with the ranks of a configuration beside those of the baseline."""
    if after := _after(choice, run):
        rows = drill_down(choice.movers(after), choice.dataset, choice.thresholds, group)
        users(choice, rows, f"{group}: {_sides(choice, after)}", key)


def _after(choice: Choice, run: str) -> str | None:
    """Whose ranks stand beside those of the baseline: of ``run``, or where that is the baseline of another."""
    after = run if run in choice.others else next(iter(choice.others), None)
    if after is None:
        st.caption("Add a second configuration: users are listed with the ranks of two.")
    return after


def _sides(choice: Choice, after: str) -> str:
    return f"{as_text(choice.reference)} (before) and {as_text(after)} (after)"


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
    people.to_user(picked, rows)
