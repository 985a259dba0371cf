"""Two questions about slices, worked out when they are opened: how unequally users are served, what hits are worth."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmesr.evaluation.fairness import OF_USERS, Disparity
from llmesr.evaluation.slice_columns import FEWEST
from llmesr.evaluation.verdict import p_text
from llmesr.prose import counted, signed
from llmesr.views.cache import segments
from llmesr.views.cache.slices import users_in
from llmesr.views.compare import drill
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.slice_charts import gap_chart
from llmesr.views.shared import clicks, exhibits, links, theme, widgets
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text


def fairness(choice: Choice, about: str) -> None:
    """The gap between the best and the worst served segment of every column of users."""
    box = links.folded("Fairness: who is served best and worst", "fairness", icon=":material/balance:")
    if not box.open:
        return
    with box:
        found = segments.disparities(
            choice.root, choice.lineup, about, choice.dataset.id, choice.metric, choice.protocol
        )
        if not found:
            st.info(
                f"No column of users has two segments of at least {2 * FEWEST} users each. A file of users (region, "
                "age, plan) can be uploaded with the dataset.",
                icon=":material/info:",
            )
            return
        st.markdown(_sentence(found[0], about, choice))
        _gaps(choice, about, found)
        exhibits.table(_table(found), key="fairness", name="fairness-gaps")
        st.caption(
            f"{choice.metric} of {as_text(about)}. One random half of the users says which segment is best and which "
            "worst; the values, the 95% interval and p (one-sided permutation test, corrected over the columns) are of "
            "the other half. The luck of a training run is not in the interval. Click a mark to list the users of its "
            "segment, of both halves."
        )


def _gaps(choice: Choice, about: str, found: Sequence[Disparity]) -> None:
    """The gaps as a chart, and below it the users of the segment whose mark was clicked."""
    frame = _ends(found)
    mark = clicks.chart(
        gap_chart(frame, choice.metric, f"{about}. {choice.line}", widgets.mode()),
        key="gaps",
        parts=2,
        alt="; ".join(f"{f.column}: {f.best} {f.best_value:.3f}, {f.worst} {f.worst_value:.3f}" for f in found),
        data=frame.drop(columns="dimension").rename(columns={"name": "users by"}),
        name="fairness-segments",
    )
    groups = [g for g in choice.slice_groups() if [g.dimension, plain(g.name)] == mark]
    if groups:
        inside = users_in(choice.root, choice.lineup, groups[0], choice.metric, choice.protocol)
        name = f"{groups[0].dimension.removeprefix(OF_USERS)}: {groups[0].name}"
        drill.of_numbers(choice, about, inside, name, "gaps")


def _ends(found: Sequence[Disparity]) -> pd.DataFrame:
    """A row per segment, as :func:`slice_charts.gap_chart` draws them."""
    rows = [
        (f.column, f.column.removeprefix(OF_USERS), segment, side, value, users)
        for f in found
        for segment, side, value, users in (
            (f.worst, "worst", f.worst_value, f.worst_users),
            (f.best, "best", f.best_value, f.best_users),
        )
    ]
    return pd.DataFrame(rows, columns=["dimension", "name", "segment", "side", "value", "users"])


def _sentence(first: Disparity, about: str, choice: Choice) -> str:
    sure = "" if first.confirmed else " That is within chance."
    column = first.column.removeprefix(OF_USERS)
    return (
        f"By **{as_text(column)}**, {as_text(about)} serves {as_text(first.best)} best ({first.best_value:.3f}) and "
        f"{as_text(first.worst)} worst ({first.worst_value:.3f}): a gap of **{first.difference:.3f}** in "
        f"{choice.metric} [{first.low:.3f}, {first.high:.3f}].{sure}"
    )


def _table(found: Sequence[Disparity]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "users by": [f.column.removeprefix(OF_USERS) for f in found],
            "best served": [f"{f.best} ({counted(f.best_users, 'user')})" for f in found],
            "value": [f"{f.best_value:.3f}" for f in found],
            "worst served": [f"{f.worst} ({counted(f.worst_users, 'user')})" for f in found],
            "value ": [f"{f.worst_value:.3f}" for f in found],
            "gap": [f"{signed(f.difference)} [{signed(f.low)}, {signed(f.high)}]" for f in found],
            "test": [p_text(f.p_adjusted) for f in found],
        }
    )


def worth(choice: Choice) -> None:
    """Hits weighted by price or margin, where a column of the items holds one."""
    columns = segments.amounts(choice.root, choice.dataset.id)
    if not columns:
        return
    box = links.folded("What is it worth: hits weighted by price", "worth", icon=":material/payments:")
    if not box.open:
        return
    with box:
        column = str(links.choose("Weighted by", columns, "money"))
        table = segments.worth(
            choice.root, choice.lineup, choice.reference, choice.dataset.id, column, choice.metric, choice.protocol
        )
        named = f"value-weighted {choice.metric}"
        best = table.loc[table["weighted"].idxmax()]
        st.markdown(
            f"Most worth is found by **{as_text(best['run'])}**: its {named} (by {as_text(column)}) is "
            f"**{best['weighted']:.3f}** [{best['low']:.3f}, {best['high']:.3f}]; every item counting alike it would "
            f"be {best['plain']:.3f}."
        )
        exhibits.table(_worth_table(table, choice, named), key="worth", name="value-weighted")
        st.caption(
            f"{named}: each held-out item weighs as much as its {as_text(column)}; of HR it is the summed "
            f"{as_text(column)} of the items found, divided by that of all. "
            f"{int(table['targets'].iloc[0]):,} targets, {theme.percent(table['share'].iloc[0])} of all, have one. 95% "
            "over users; p by sign flips, corrected over the configurations."
        )


def _worth_table(table: pd.DataFrame, choice: Choice, named: str) -> pd.DataFrame:
    rows = table.to_dict("records")
    made = pd.DataFrame(
        {
            "configuration": [r["run"] for r in rows],
            named: [f"{r['weighted']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for r in rows],
            f"{choice.metric} of the same": [f"{r['plain']:.3f}" for r in rows],
        }
    )
    if choice.others:
        other = [r["run"] != choice.reference for r in rows]
        made[f"gain over {choice.reference}"] = [
            f"{signed(r['difference'])} [{signed(r['difference_low'])}, {signed(r['difference_high'])}]" if o else ""
            for r, o in zip(rows, other, strict=True)
        ]
        made["test"] = [p_text(r["p_adjusted"]) if o else "" for r, o in zip(rows, other, strict=True)]
    return made
