"""Who is behind a mark of Compare: the users it is about, both ranks of each, or the items of the lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.config import EVERY_GROUP
from llmesr.evaluation.beyond import jaccard
from llmesr.evaluation.ranks import PROTOCOLS
from llmesr.evaluation.table import metric_values
from llmesr.views.cache import artifacts, evidence, segments
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.trade_off_charts import OUTCOMES
from llmesr.views.shared import behind, clicks, links
from llmesr.views.shared.behind import of_movers
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import PROTOCOL_NAMES, as_text

SIDES = ("Overall", "Tail Item", "Head Item")
SHOWN = {"most": "Shown most", "alone": "Shown by it alone"}


def of_dot(choice: Choice, mark: Sequence[str], key: str) -> None:
    """The users behind a dot: ``mark`` is its configuration and its group."""
    if len(mark) == 2 and (run := _run(choice, mark[0])):
        of_group(choice, run, mark[1], key)


def of_cell(choice: Choice, event: Any, runs: Sequence[str], key: str, shown: pd.DataFrame) -> None:
    """The users behind a cell of the matrix ``shown``: ``runs`` are its rows, its columns are groups."""
    cells = event.selection.cells if event else []
    inside = [(runs[row], str(column)) for row, column in cells if row < len(runs) and column != "configuration"]
    mark = clicks.kept(key, [plain(inside[0][0]), inside[0][1]] if inside else [], shown.to_json)
    of_dot(choice, mark, key)


def of_side(choice: Choice, mark: Sequence[str], key: str) -> None:
    """The users behind a dot of a trade-off, of tail items, of head items, or all: ``mark`` is its configuration."""
    if len(mark) == 1 and (run := _run(choice, mark[0])):
        group = links.choose("Users", SIDES, f"side.{key}", kind="segmented", default="Tail Item")
        of_group(choice, run, str(group), key)


def of_bucket(choice: Choice, mark: Sequence[str], dimension: str, key: str) -> None:
    """The users behind a dot of a curve: ``mark`` is its configuration and its bucket of popularity or length."""
    if len(mark) == 2 and (run := _run(choice, mark[0])):
        inside = segments.users_in_bucket(choice.root, choice.lineup, dimension, mark[1], choice.protocol)
        of_numbers(choice, run, inside, f"{mark[1]} interactions", key)


def of_outcome(choice: Choice, after: str, mark: Sequence[str], key: str) -> None:
    """The users behind a part of a bar: of a group those who gained, lost, or neither."""
    if len(mark) == 2 and mark[0] in OUTCOMES and mark[1] in EVERY_GROUP:
        moved = choice.movers(after)
        rows = of_movers(moved[moved["outcome"] == mark[0]], choice.dataset, choice.thresholds, mark[1])
        users(choice, rows, f"{mark[1]}, {OUTCOMES[mark[0]][1]}: {_sides(choice, after)}", key)


def of_group(choice: Choice, run: str, group: str, key: str) -> None:
    """The users of a group, with the ranks of a configuration beside those of the baseline."""
    if group in EVERY_GROUP and (after := _after(choice, run)):
        rows = of_movers(choice.movers(after), choice.dataset, choice.thresholds, group)
        users(choice, rows, f"{group}: {_sides(choice, after)}", key)


def of_numbers(choice: Choice, run: str, inside: np.ndarray, what: str, key: str) -> None:
    """The users of these numbers, with the ranks of a configuration beside those of the baseline."""
    if after := _after(choice, run):
        moved = choice.movers(after)
        rows = of_movers(moved[moved["user"].isin(inside)], choice.dataset, choice.thresholds)
        users(choice, rows, f"{as_text(what)}: {_sides(choice, after)}", key)


def of_lists(choice: Choice, mark: Sequence[str], key: str) -> None:
    """The items behind a dot of the lists: ``mark`` is its configuration."""
    run = _run(choice, mark[0]) if len(mark) == 1 else ""
    if not run:
        return
    own, other = _shown(choice, run), _shown(choice, choice.reference)
    which = "most"
    if run != choice.reference:
        which = str(links.choose("Items", list(SHOWN), "shown", kind="segmented", show=SHOWN.__getitem__))
    order = np.argsort(-own, kind="stable")
    order = order[(own[order] > 0) & ((other[order] == 0) | (which == "most"))]
    rows = behind.of_items(order, choice.dataset, choice.thresholds)
    rows[f"lists of {run}"] = own[order].round(1)
    if run != choice.reference:
        rows[f"lists of {choice.reference}"] = other[order].round(1)
    behind.items(rows, f"First {choice.k} of {as_text(run)}, {SHOWN[which].lower()}", key)


def of_explained(choice: Choice, mark: Sequence[str], key: str) -> None:
    """The users behind a part of a bar: ``mark`` is the protocol, the part (whom popularity alone finds as well, or
    not), and the configuration."""
    run = _run(choice, mark[2]) if len(mark) == 3 and mark[0] in PROTOCOLS else ""
    if not run:
        return
    moved = evidence.movers_from_popularity(
        choice.root, {run: choice.lineup[run]}, choice.dataset.id, choice.metric, mark[0]
    )
    alone = metric_values(moved["rank_before"].round().to_numpy(), choice.metric)  # one frame: whole ranks
    found, both = alone + moved["gain"] > 1e-9, alone > 0
    rows = of_movers(moved[found & (both if mark[1] == "both" else ~both)], choice.dataset, choice.thresholds)
    who = "by popularity alone as well" if mark[1] == "both" else "not by popularity alone"
    title = (
        f"Found by {as_text(run)} and {who} ({PROTOCOL_NAMES[mark[0]]}): popularity (before), {as_text(run)} (after)"
    )
    behind.users(rows, title, key)


def _shown(choice: Choice, run: str) -> np.ndarray:
    """(N + 1,) in the lists of how many users each item stands, the mean of the seeds; 0 for the filling."""
    lists = [np.asarray(artifacts.top_items(choice.root, id))[:, : choice.k] for id in choice.lineup[run]]
    counts = [np.bincount(one.ravel(), minlength=choice.dataset.n_items + 1) for one in lists]
    shown = np.mean(counts, axis=0)
    shown[0] = 0
    return np.asarray(shown)


def of_overlap(choice: Choice, event: Any, names: Sequence[str], key: str, square: pd.DataFrame) -> None:
    """The users behind a cell of the overlaps of lists, those whose two lists have least in common first."""
    cells = event.selection.cells if event else []
    inside = [(names[row], str(column)) for row, column in cells if row < len(names) and str(column) in names]
    mark = clicks.kept(key, list(inside[0]) if inside else [], square.to_json)
    if len(mark) != 2 or mark[0] == mark[1] or not set(mark) <= set(choice.lineup):
        return
    first, second = mark
    tops = [np.asarray(artifacts.top_items(choice.root, choice.lineup[name][0]))[:, : choice.k] for name in mark]
    alike = pd.Series(jaccard(*tops), index=choice.dataset.split.users("test"))
    moved = evidence.movers(choice.root, {n: choice.lineup[n] for n in mark}, choice.metric, choice.protocol)
    rows = of_movers(moved, choice.dataset, choice.thresholds)
    rows.insert(1, "overlap", alike.reindex(moved["user"]).round(3).to_numpy())
    rows = rows.sort_values("overlap", kind="stable", ignore_index=True)
    users(choice, rows, f"Lists of {as_text(first)} (before) and {as_text(second)} (after)", key)


def _run(choice: Choice, name: str) -> str:
    """The configuration that a mark names; empty, saying so, where a link names one that is not compared."""
    found = next((run for run in choice.lineup if plain(run) == name), "")
    if not found:
        st.caption(f"The link names {as_text(name)}, which is not compared here.")
    return found


def _after(choice: Choice, run: str) -> str | None:
    """Whose ranks stand beside those of the baseline: of ``run``, or where that is the baseline of another."""
    after = run if run in choice.others else next(iter(choice.others), None)
    if after is None:
        st.caption("Add a second configuration: users are listed with the ranks of two.")
    return after


def _sides(choice: Choice, after: str) -> str:
    return f"{as_text(choice.reference)} (before) and {as_text(after)} (after)"


def users(choice: Choice, rows: pd.DataFrame, title: str, key: str) -> None:
    """Users with both ranks."""
    behind.users(rows, title, key, k=choice.k)
