"""What the Compare page shows of a comparison: the verdict, then one view at a time."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmesr.evaluation.beyond import overlap
from llmesr.evaluation.contrast import seesaw
from llmesr.evaluation.doubts import serious
from llmesr.prose import counted
from llmesr.views.cache import artifacts
from llmesr.views.compare import charts, drill, trade_off_charts
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.frames import beyond_frame, outcomes, popularity_sentence, verdict_matrix, verdict_rows
from llmesr.views.compare.popularity_charts import popularity_chart
from llmesr.views.shared import behind, clicks, doubts, exhibits, links, pickers, widgets, words
from llmesr.views.shared.tables import readable_comparison, readable_summary
from llmesr.views.shared.words import as_text

FEW = 4
"""Up to so many verdicts are also written out."""


def doubtful(choice: Choice) -> None:
    """What stands against the comparison, above every view."""
    if not choice.others:
        st.info("Add a second configuration to compare.", icon=":material/balance:")
    doubts.shown(choice.root, choice.dataset.id, choice.doubts())


def verdict(choice: Choice) -> None:
    """What the comparison says: a sentence per run, a matrix of groups."""
    if choice.others:
        with st.container(border=True):
            st.markdown(f"**Compared with {as_text(choice.reference)}**, in {choice.metric}:")
            _matrix(choice)


def verdict_folded(choice: Choice) -> None:
    """The same, folded away below a view that answers another question."""
    if not choice.others:
        return
    label = f"The verdict: compared with {as_text(choice.reference)}, in {choice.metric}"
    box = links.folded(label, "verdict", icon=":material/balance:")
    if box.open:
        with box:
            _matrix(choice)


def _matrix(choice: Choice) -> None:
    said = choice.judged()
    if not any(v.judged for v in said):
        st.markdown("**Too little data** to judge any group.")
    elif not any(v.significant for v in said):
        st.markdown("**No clear difference** in any group.")
    for one in said if len(said) <= FEW else ():
        sentence = as_text(one.sentence(metric=False, doubts=False), 1500)
        st.markdown(f"- **{as_text(one.run)}**{' (not settled)' if one.doubts else ''}: {sentence}")
    matrix = verdict_matrix(said)
    picked = exhibits.table(
        matrix,
        key="verdicts",
        name="verdicts",
        beside=_defend if links.current("view", "groups") != "defend" else None,
        data=verdict_rows(said),
        on_select="rerun",
        selection_mode="single-cell",
        alt=f"Verdict on each configuration against {choice.reference} by group.",
    )
    st.caption(
        "*better*, *worse*: p < .05 after Benjamini-Hochberg; *unclear*: no clear difference; *too few*: too few "
        "users, or too few for whom they differ, to judge by; *ahead*, *behind*: something serious stands against it. "
        "Intervals and p: in the table of differences under Groups. Click a cell, or a dot, to list its users."
    )
    drill.of_cell(choice, picked, [v.run for v in said], "verdicts", matrix)


def _defend() -> None:
    st.button(
        "Defend this claim",
        key="defend",
        icon=":material/shield:",
        on_click=links.preselect,
        args=("view", "defend"),
        help="What it lacks to stand, the job that trains exactly that, and a one-page statement.",
    )


def groups(choice: Choice) -> None:
    """Values with intervals and, against the reference, differences with tests."""
    summary, mode = choice.summary(), widgets.mode()
    mark = clicks.chart(
        charts.group_chart(summary, choice.metric, choice.line, mode),
        key="groups",
        parts=2,
        alt=f"{choice.metric} of {len(choice.chosen)} configurations by group, with 95% intervals.",
        data=readable_summary(summary),
        name="metrics-by-group",
    )
    drill.of_dot(choice, mark, "groups")
    if choice.others:
        comparison = choice.comparison()
        mark = clicks.chart(
            charts.difference_chart(comparison, choice.metric, choice.reference, choice.line, mode),
            key="differences",
            parts=2,
            alt=f"Gain in {choice.metric} over {choice.reference} by group, with 95% intervals.",
            data=readable_comparison(comparison, settled=not serious(choice.doubts())),
            name="differences",
        )
        drill.of_dot(choice, mark, "differences")
    # Computed when it is opened: a moved threshold changes all of it.
    box = links.folded("Every metric, every group and the four cells of users and items", "every")
    if box.open:
        with box:
            exhibits.table(choice.every_metric(), key="every", name="all-metrics")


def curves(choice: Choice) -> None:
    """Accuracy along popularity and along history length."""
    with st.container(key="beside-buckets"):
        columns = st.columns(2)
    for column, dimension in zip(columns, ("popularity", "length"), strict=True):
        with column:
            frame = choice.curves(dimension)
            mark = clicks.chart(
                charts.bucket_chart(frame, choice.metric, dimension, choice.line, widgets.mode()),
                key=f"curve.{dimension}",
                parts=2,
                alt=f"{choice.metric} over five buckets by {dimension}, one line per configuration.",
                data=readable_summary(frame),
                name=f"curve-{dimension}",
            )
            drill.of_bucket(choice, mark, dimension, f"curve.{dimension}")


def trade_offs(choice: Choice) -> None:
    """Seesaw and trade-off, and below them the users behind a dot."""
    marks: dict[str, list[str]] = {}
    with st.container(key="beside-trade-offs"):
        left, right = st.columns(2)
    with left:
        if choice.others:
            frame = choice.labelled(seesaw(choice.comparison(), choice.metric))
            marks["seesaw"] = clicks.chart(
                trade_off_charts.seesaw_chart(frame, choice.metric, choice.reference, choice.line, widgets.mode()),
                key="seesaw",
                parts=1,
                alt="Gain on tail items against gain on head items, a point per configuration.",
                data=frame.drop(columns="label"),
                name="seesaw",
            )
        else:
            st.info("Add a second configuration to see who gains and who loses.")
    with right:
        frame = choice.trade_off()
        marks["tradeoff"] = clicks.chart(
            trade_off_charts.trade_off_chart(frame, choice.metric, f"APLT@{choice.k}", choice.line, widgets.mode()),
            key="tradeoff",
            parts=1,
            alt="Accuracy against the share of tail items in the lists, a point per configuration.",
            data=frame.drop(columns="label"),
            name="trade-off",
        )
    if not any(marks.values()):
        st.caption("Click a dot to list its users.")
    for key, mark in marks.items():
        drill.of_side(choice, mark, key)


def lists(choice: Choice) -> None:
    """What the recommended lists are like."""
    table = choice.beyond()
    mark = clicks.chart(
        trade_off_charts.beyond_chart(beyond_frame(table), choice.line, widgets.mode()),
        key="beyond",
        parts=1,
        alt="Coverage, Gini, popularity, tail share, novelty and diversity of the lists of each configuration.",
        data=table.pivot_table(index=["run", "group"], columns="metric", values="value", sort=False).reset_index(),
        name="beyond-accuracy",
    )
    if not mark:
        st.caption("Click a dot to list the items behind it.")
    drill.of_lists(choice, mark, "beyond")
    if choice.others:
        box = links.folded("How similar are the lists of two configurations?", "overlap")
        if box.open:
            with box:
                _alike(choice)


def _alike(choice: Choice) -> None:
    st.caption(
        f"Items in both top-{choice.k} lists of a user, divided by items in either (Jaccard). 1: identical. Click a "
        "cell to list the users."
    )
    tops = {c.name: artifacts.top_items(choice.root, c.ids[0]) for c in choice.chosen}
    square = overlap(tops, k=choice.k).pivot(index="run", columns="other", values="jaccard")
    square = square.loc[list(tops), list(tops)].round(3)
    shown = square.reset_index()
    picked = exhibits.table(shown, key="overlap", name="overlap", on_select="rerun", selection_mode="single-cell")
    drill.of_overlap(choice, picked, list(tops), "overlap.users", shown)


def popularity(choice: Choice) -> None:
    """What ranking by popularity alone scores as well, under both protocols: why they may disagree."""
    frame = choice.popularity()
    st.markdown(popularity_sentence(frame, choice.metric))
    mark = clicks.chart(
        popularity_chart(frame, choice.metric, words.split_line(choice.dataset.split_config), widgets.mode()),
        key="popularity",
        parts=3,
        alt=f"{choice.metric} of each configuration under both protocols, split into what popularity alone "
        "scores on the same targets and the rest.",
        data=frame.drop(columns="label"),
        name="what-popularity-explains",
    )
    drill.of_explained(choice, mark, "popularity")
    st.caption(
        "Of each target the smaller of two values counts as explained: the configuration's, and that of ranking the "
        "same candidates by their training interactions. The negatives of uni100 are mostly rare items, so popularity "
        "alone finds far more popular targets among them than among all items. Click a part of a bar to list its users."
    )


def users(choice: Choice) -> None:
    """Who gained and who lost most, one by one."""
    if not choice.others:
        st.info("Add a second configuration to see which users it helps.")
        return
    left, right = st.columns(2)
    with left:
        after = str(links.choose("Configuration", choice.others, "with", default=choice.foremost))
    with right:
        comparison = choice.comparison()
        group = pickers.pick_group("Group", "among", set(comparison["group"]))
    shares = outcomes(comparison[comparison["run"] == after])
    line = f"{choice.line} Gained: {choice.metric} rose. Click a part of a bar to list its users."
    mark = clicks.chart(
        trade_off_charts.outcome_chart(shares, after, choice.reference, line, widgets.mode()),
        key="outcomes",
        parts=2,
        alt=f"Share of users who gained or lost with {after} over {choice.reference}, whom both find or both miss.",
        data=shares,
        name="gained-and-lost",
    )
    drill.of_outcome(choice, after, mark, "outcomes")
    moved = behind.of_movers(choice.movers(after), choice.dataset, choice.thresholds, group)
    with st.container(key="beside-movers"):
        columns = st.columns(2)
    for column, title, rows in zip(
        columns,
        ("Gained most", "Lost most"),
        (moved[moved["gain"] > 0].head(100), moved[moved["gain"] < 0].iloc[::-1].head(100)),
        strict=True,
    ):
        with column:
            _user_table(title, rows)
    exhibits.download_csv(moved, "users-gained-and-lost", key="movers", label="Download all users as CSV")


def _user_table(title: str, rows: pd.DataFrame) -> None:
    st.markdown(f"**{title}** :gray[{counted(len(rows), 'user')} shown]")
    key = title.split()[0].lower()
    picked = exhibits.table(
        rows,
        key=f"movers.{key}",
        height=320,
        on_select="rerun",
        selection_mode="single-row",
        formats=behind.RANKS,
    )
    behind.to_user(picked, rows)
