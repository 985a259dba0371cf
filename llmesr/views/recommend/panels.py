"""The lists of the Recommend page: which runs, and side by side what each recommends, why, and what moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.scoring.explanation import explain, sentence
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender, Request
from llmesr.store import Store
from llmesr.views.cache import models
from llmesr.views.cache.protagonists import first_runs
from llmesr.views.recommend import charts
from llmesr.views.recommend.history import history_of, whose
from llmesr.views.recommend.knobs import Settings, settings, view_controls
from llmesr.views.recommend.what_if import changed_line, dropped, moved
from llmesr.views.shared import behind, clicks, links, pickers, pins, widgets, words
from llmesr.views.shared.words import as_text

PARTS_ABOUT = (
    "Bars split each score. **Collaborative**: learned from who chose what, the linear term and popularity included. "
    "**Semantic**: what the run itself reads in the text. **Content**: how similar the text of an item is to the "
    "history, added by the content weight. Below each title: the items of the history behind it, exact parts of the "
    "score for linear methods (because of), leave-one-out for the others (leans on)."
)
MOST_RUNS = 4
AT_FIRST = 3
_TITLE = {1: 120, 2: 60, 3: 42, 4: 31}
"""Characters in a line of a title by the number of lists."""


def pick(runs: list[Run]) -> list[Run]:
    """The runs whose lists stand side by side; at first the two of the Overview and the next best."""
    by_id = {r.id: r for r in runs}
    first = first_runs(runs[0].store, runs[0].dataset_id, list(by_id))[:AT_FIRST]
    chosen = links.choose_many(
        "Runs, side by side",
        list(by_id),
        "recommenders",
        show=lambda id: pickers.run_name(by_id[id]),
        default=first,
        max_selections=MOST_RUNS,
    )
    return [by_id[id] for id in chosen]


def lists(root: Store, dataset: Dataset, runs: list[Run]) -> None:
    """Whose lists, the knobs, and the lists of all chosen runs, live: every change re-ranks at once."""
    pins.about(dataset, [run.id for run in runs], dataset.thresholds)
    widgets.live(None)(_lists)(root, dataset, runs)


def _lists(root: Store, dataset: Dataset, runs: list[Run]) -> None:
    ready = {run.id: _ready(root, run) for run in runs}
    # One below the other in this order, for the keyboard too; a phone shows the lists before what turns them.
    with st.container(key="rec-page"):
        with st.container(key="rec-who"):
            source, user = whose(dataset)
            history, held = history_of(dataset, source, user)
        with st.container(key="rec-knobs"):
            has_text = any(isinstance(r, Recommender) and r.ground.has_text for r in ready.values())
            chosen = settings(dataset, has_text)
        if history:
            with st.container(key="rec-view"):
                against = view_controls(PARTS_ABOUT)
            with st.container():
                _side_by_side(root, runs, ready, Asked(history, None if held else user, held), chosen, against)


@dataclass(frozen=True)
class Asked:
    """Whom lists are for: ``history`` (oldest first), whole where it is that of ``user``; ``held`` is the item that was
    held out, where the history is what came before it."""

    history: list[int]
    user: int | None
    held: int | None

    @property
    def whom(self) -> list[int] | int:
        return self.history if self.user is None else self.user


def _side_by_side(
    root: Store,
    runs: list[Run],
    ready: Mapping[str, Recommender | UserError],
    asked: Asked,
    chosen: Settings,
    against: str,
) -> None:
    with st.container(key="rec-lists"):
        columns = st.columns(max(len(runs), 1))
    for column, run in zip(columns, runs, strict=True):
        with column, widgets.boundary(f"The list of {run.label}"):
            made = ready[run.id]
            if isinstance(made, UserError):
                st.markdown(f"**{as_text(run.label)}**")
                raise made
            _one_list(root, run, made, asked, chosen, against, _TITLE[len(runs)])


def _ready(root: Store, run: Run) -> Recommender | UserError:
    """A run that cannot recommend must not take the others with it."""
    try:
        return models.recommender(root, run.id)
    except UserError as error:
        return error


def _one_list(
    root: Store,
    run: Run,
    made: Recommender,
    asked: Asked,
    chosen: Settings,
    against: str,
    longest: int,
) -> None:
    policy = None if chosen.as_made else chosen.policy(models.units(root, run.id))
    frame = _with_reasons(made, made.request(asked.whom, chosen.k, policy, chosen.reranker), longest, asked.held)
    ids = frame["item_id"].tolist()
    plain = against == "plain"
    before = made.recommend(asked.whom, chosen.k)["item_id"].tolist() if plain else _previous(run.id, asked.user, ids)
    moves = moved(ids, before)
    seed = run.manifest.seed
    applied = policy or made.policy
    about = applied.describe() if chosen.as_made and not applied.inert else None
    # What a turned knob comes to needs a line of its own, in every list, so that they begin at the same height.
    between = " " if chosen.as_made else "  \n"
    said = f"{changed_line(ids, before, frame['tail'])}.{between}{_applied(applied, chosen)}."
    where = "" if asked.held is None else f"  \n{_where(made, asked, frame, policy)}"
    st.markdown(f"**{as_text(run.label)}** :gray[seed {seed}]  \n:gray[:small[{said}]]{where}", help=about)
    mark = clicks.chart(
        charts.list_figure(frame, moves, widgets.mode(), longest=longest),
        key=f"rec.list.{run.id}",
        parts=1,
        alt=charts.describe(run.label, frame, moves),
        data=charts.list_table(frame, moves),
        name=f"recommendations-{run.id}",
        column_config={
            c: st.column_config.NumberColumn(c, format="%.3f")
            for c in ("Score", "Collaborative", "Semantic", "Content")
        },
    )
    if len(mark) == 1 and mark[0] in ids:
        behind.ways_of_item(mark[0], str(frame.loc[frame["item_id"] == mark[0], "title"].iloc[0]))
    gone = dropped(ids, before)
    if gone:
        titles = made.titles[[made.dataset.item(i) - 1 for i in gone]]
        st.caption("Dropped: " + ", ".join(as_text(t, 40) for t in titles[:5]) + (" …" if len(gone) > 5 else ""))


def _where(made: Recommender, asked: Asked, frame: pd.DataFrame, policy: ScoringPolicy | None) -> str:
    """Where the held-out item stands, in the list or below it."""
    assert asked.held is not None
    listed = frame.loc[frame["held"], "rank"]
    if len(listed):
        return f"★ Held-out item: rank **{int(listed.iloc[0])}**"
    rank = made.rank_of(asked.history, asked.held, policy)
    if rank > len(frame):
        return f"★ Held-out item: rank **{rank:,}**"
    return f"★ Held-out item: rank **{rank:,}** before the re-ranking"


def _with_reasons(made: Recommender, request: Request, longest: int, held: int | None) -> pd.DataFrame:
    """The list, with the items of the history that each item is due to, and which of them was held out."""
    answer = made.answer([request])[0]
    why = explain(made.scored, request.history, answer.items.tolist(), request.policy, request.user)
    titles = made.titles.tolist()
    counts, thresholds = made.dataset.item_counts[answer.items], made.dataset.thresholds
    return made.frame(answer).assign(
        why=[sentence(e, titles, longest=80) for e in why],
        why_short=[sentence(e, titles, longest=longest - 14) for e in why],
        group=[thresholds.item_group(int(n)) for n in counts],
        held=answer.items == (held or 0),
    )


def _applied(policy: ScoringPolicy, chosen: Settings) -> str:
    """What was done to the scores of a run."""
    if policy.inert:
        return "Scores as trained"
    if chosen.as_made:
        return "Tuned scoring"
    return words.capitalised(policy.describe(chosen.weights_in(policy)))


def _previous(run_id: str, user: int | None, ids: list[str]) -> list[str] | None:
    """The list as it was before it last changed, for the same user or the edited history."""
    owner: tuple[int | None] | None
    now: list[str] | None
    before: list[str] | None
    owner, now, before = st.session_state.get(f"rec.kept.{run_id}", (None, None, None))
    if owner != (user,):
        now = before = None
    if now != ids:
        before = now
        st.session_state[f"rec.kept.{run_id}"] = ((user,), ids, before)
    return before


def definition(dataset: Dataset) -> None:
    """The head/tail definition, to stand beside the badges."""
    st.caption(
        f"{dataset.thresholds.describe()} A user's list follows the whole history, or what of it came before the "
        "held-out item, and leaves out what is in it. "
        "Scores of different runs are not on one scale. Click a bar to open its item elsewhere."
    )
