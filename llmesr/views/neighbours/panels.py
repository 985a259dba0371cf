"""What the Neighbours page shows of one case: who it is, what speaks for the held-out item, who ranked it where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.errors import UserError
from llmesr.prose import counted
from llmesr.runs.record import Run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.units import short
from llmesr.views.cache import artifacts, evidence, models
from llmesr.views.neighbours import charts
from llmesr.views.neighbours.case import chosen_with, rank_table
from llmesr.views.neighbours.choice import Choice
from llmesr.views.shared import exhibits, theme, widgets
from llmesr.views.shared.words import as_text

STEPS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Content weights tried, in units of the spread of the model's own scores for this user."""
READ = 6
"""Titles of a history that are named above everything else."""


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
    item, numbers = st.columns([5, 4])
    with item:
        popularity = int(dataset.item_counts[case.target])
        kind = choice.thresholds.item_group(popularity)
        st.markdown(f"Held-out item  \n**{as_text(choice.title(case.target), 140)}**")
        st.caption(f"{kind}, {counted(popularity, 'training interaction')}")
    first, second = (int(ranks["rank"].get(r.id, 0)) for r in (choice.before, choice.after))
    moved = f"{first - second:+,}" if first and second and first != second else None
    with numbers:
        before, after = st.columns(2)
        before.metric(f"Rank by {_seeded(choice, choice.before)}", theme.count(first or None))
        named = f"Rank by {_seeded(choice, choice.after)}"
        after.metric(named, theme.count(second or None), delta=moved, help="Places gained")
    _history(choice, case.target)


def _seeded(choice: Choice, run: Run) -> str:
    """Method and backbone, with the seed where others of them were run as well."""
    several = len({r.manifest.seed for r in choice.runs if r.label == run.label}) > 1
    return f"{run.label}, seed {run.manifest.seed}" if several else run.label


def _history(choice: Choice, target: int) -> None:
    """What was read before the held-out item, newest first, and what of it speaks for it, by text and by behaviour."""
    newest = choice.case.read[::-1]
    named = " · ".join(as_text(choice.title(int(i)), 90) for i in newest[:READ])
    earlier = f" · and {len(newest) - READ:,} earlier" if len(newest) > READ else ""
    st.markdown(f"History, newest first  \n{named}{earlier}")
    said = [s for s in (_by_text(choice, target), _by_behaviour(choice, target)) if s]
    if said:
        st.markdown("  \n".join(said))


def _by_text(choice: Choice, target: int) -> str:
    """The item of the history whose text is nearest to that of the held-out item."""
    id = choice.after.manifest.parent("embeddings")
    if id is None or not choice.root.exists("embeddings", id):
        id = evidence.newest_embedding(choice.root, choice.dataset.id)
    if id is None:
        return ""
    vectors = evidence.embedding(choice.root, id).item_vectors
    units = vectors[choice.case.read - 1]
    own = vectors[target - 1]
    lengths = np.linalg.norm(units, axis=1) * np.linalg.norm(own)
    cosines = np.divide(units @ own, lengths, out=np.full(len(units), -1.0), where=lengths > 0)
    best = int(cosines.argmax())
    nearest = as_text(choice.title(int(choice.case.read[best])), 140)
    return f"**Nearest to it by text**: {nearest} :gray[(cosine {cosines[best]:.2f})]"


def _by_behaviour(choice: Choice, target: int) -> str:
    """The item of the history that most other users chose as well as the held-out item."""
    together = chosen_with(choice.dataset, choice.case, target)
    best = int(together.argmax())
    if not together[best]:
        return "**By behaviour**: nobody in the training part chose it together with an item of this history."
    often = as_text(choice.title(int(choice.case.read[best])), 140)
    return f"**Most often chosen with it**: {often} :gray[(by {counted(int(together[best]), 'other user')})]"


def _frames(choice: Choice, runs: list[Run]) -> list[tuple[Run, pd.DataFrame]]:
    return [(run, artifacts.per_user(choice.root, run.id)) for run in runs]


def ranks(choice: Choice) -> None:
    """Where every run ranked the held-out item, and what a content term would do to the chosen run."""
    if choice.case.target is None:
        return
    st.subheader("Where the held-out item was ranked", anchor=False)
    table = rank_table(_frames(choice, choice.runs), choice.case.user, choice.protocol)
    with st.container(key="beside-ranks"):
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
