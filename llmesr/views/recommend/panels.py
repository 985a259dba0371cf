"""What the Recommend page shows: whose history, which runs, which knobs, and the lists side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.scoring.explanation import explain, sentence
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender, Request
from llmesr.scoring.rerankers import RerankConfig, RerankerName
from llmesr.scoring.units import Units, short
from llmesr.store import Store
from llmesr.views.cache import artifacts, models, spaces
from llmesr.views.recommend import charts
from llmesr.views.recommend.what_if import changed_line, dropped, moved
from llmesr.views.shared import exhibits, links, pickers, widgets
from llmesr.views.shared.words import as_text

SOURCES = {"user": "A user", "build": "Build a history"}
RERANKERS: dict[str, str] = {
    "none": "As scored",
    "mmr": "Diverse (MMR)",
    "dpp": "Diverse (DPP)",
    "calibrated": "Calibrated to the history",
    "epsilon": "Explore at random",
    "ucb": "Explore the rarely seen",
}
MEANING: dict[str, str] = {
    "none": "The best scores, in order.",
    "mmr": "Each place goes to the item with the best balance of score and being unlike what stands above it.",
    "dpp": "The set as a whole is made varied, weighing scores and similarity together.",
    "calibrated": "The list takes over the history's own mix of popular and rare items.",
    "epsilon": "Each place is given, with this probability, to a random candidate.",
    "ucb": "The last places go to candidates about which little is known yet.",
}
PARTS_ABOUT = (
    "Bars split each score. **Collaborative**: learned from who chose what, co-occurrence and popularity included. "
    "**Semantic**: what the run itself reads in the text. **Content**: how alike the texts of an item and of the "
    "history are, added on top by the content weight. Below each title stand the items of the history that it is due "
    "to: exact parts of the score for linear methods (because of), leave-one-out for the others (leans on)."
)
COMPARED = {"last": "last change", "plain": "run as it is"}
FOUND = 8
MOST_RUNS = 4
AT_FIRST = (
    "id", "llm-esr", "text-ease", "llmemb", "llm-init", "ease", "item-knn", "markov", "ials", "semantic-knn", "adapter",
    "popularity",
)  # fmt: skip
_TITLE = {1: 90, 2: 52, 3: 36, 4: 27}
"""Characters of a title by the number of lists."""


@dataclass(frozen=True, eq=False)
class Settings:
    """The knobs: what is added to scores and how the list is put together."""

    weight: float  # of the content term, in units of the spread of a run's own scores
    cooccurrence: float  # of the co-occurrence term, in the same units
    popularity: float  # of log popularity, in the same units
    threshold: int
    route_weight: float
    tail_users_only: bool
    reranker: RerankConfig
    k: int

    def policy(self, units: Units) -> ScoringPolicy:
        """In the scores of a run; the unit of a knob that is not turned is not asked for."""
        return ScoringPolicy(
            gamma=short(self.weight and self.weight * units.of("content")),
            cooccurrence=short(self.cooccurrence and self.cooccurrence * units.of("cooccurrence")),
            popularity=short(self.popularity and self.popularity * units.of("popularity")),
            route_threshold=self.threshold,
            route_weight=self.route_weight,
            tail_users_only=self.tail_users_only,
        )

    @property
    def as_made(self) -> bool:
        """Whether scores stay as the run makes them, its tuned policy included."""
        return not (self.weight or self.cooccurrence or self.popularity or self.threshold)


def pick(runs: list[Run]) -> list[Run]:
    """The runs whose lists stand side by side; at first one each of a blind model, a baseline and a method."""
    newest: dict[str, Run] = {}
    for run in runs:
        newest.setdefault(run.label.split("/")[0], run)
    first = [newest[m].id for m in AT_FIRST if m in newest][:3]
    by_id = {r.id: r for r in runs}
    chosen = links.choose_many(
        "Runs, side by side",
        list(by_id),
        "recommenders",
        show=lambda id: pickers.run_name(by_id[id]),
        default=first,
        max_selections=MOST_RUNS,
    )
    return [by_id[id] for id in chosen]


def whose(dataset: Dataset) -> tuple[list[int], int | None] | None:
    """The history (item numbers, oldest first) and the user it belongs to, if any."""
    source = links.choose("Recommend to", list(SOURCES), "source", kind="segmented", show=SOURCES.__getitem__)
    user = None
    if source == "user":
        user = _user(dataset)
        if user is None:
            return None
        history = dataset.history(user).tolist()
    else:
        history = _built(dataset)
    _show_history(dataset, history, user)
    if not history:
        st.info("Search for an item and add it: the lists below follow.", icon=":material/playlist_add:")
        return None
    return history, user


def _user(dataset: Dataset) -> int | None:
    linked = st.query_params.get("user", "")
    if "rec.id" not in st.session_state or (linked and linked != st.session_state.get("rec.linked")):
        st.session_state["rec.id"] = linked or str(dataset.user_ids[_random_tail(dataset, 0)])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("User id", key="rec.id", icon=":material/person:", width=150)
        st.button("Random tail user", icon=":material/casino:", key="rec.draw", on_click=_draw, args=(dataset,))
    text = st.session_state["rec.id"].strip()
    st.session_state["rec.linked"] = linked
    if not text:
        return None
    user = dataset.user(text)
    st.query_params["user"] = st.session_state["rec.linked"] = text
    return user


def _draw(dataset: Dataset) -> None:
    st.session_state["rec.seed"] = st.session_state.get("rec.seed", 0) + 1
    st.session_state["rec.id"] = str(dataset.user_ids[_random_tail(dataset, st.session_state["rec.seed"])])


def _random_tail(dataset: Dataset, seed: int) -> int:
    lengths = dataset.split.train_lengths
    tail = np.flatnonzero((lengths > 0) & dataset.thresholds.tail_users(lengths))
    return int(np.random.default_rng(seed).choice(tail if len(tail) else np.flatnonzero(lengths)))


def _built(dataset: Dataset) -> list[int]:
    """The visitor's own history; ``?history=`` brings item ids, oldest first."""
    if st.session_state.get("rec.about") != dataset.id:
        st.session_state["rec.about"] = dataset.id
        ids = [i for i in st.query_params.get("history", "").split(",") if i]
        known = set(dataset.catalogue["item_id"])
        st.session_state["rec.history"] = [dataset.item(i) for i in ids if i in known]
    history = cast(list[int], st.session_state["rec.history"])
    text = st.text_input(
        "Add items", key="rec.find", icon=":material/search:", placeholder="words of a title, or an id"
    )
    if text:
        points = spaces.points(artifacts.store(), dataset.id, "items")
        rows = [int(r) for r in points.find(text, FOUND)]
        if not rows:
            st.caption(f"Nothing found for {as_text(text, 80)}.")
        for row in rows:
            mark = f"{points.counts[row]:,}{' · tail' if points.tail[row] else ''}"
            label = f"{as_text(points.titles[row], 70)} :gray[{mark}]"
            st.button(
                label,
                key=f"rec.add.{row}",
                icon=":material/add:",
                type="tertiary",
                on_click=_add,
                args=(dataset, row + 1),
            )
    return history


def _add(dataset: Dataset, item: int) -> None:
    _set(dataset, [*st.session_state["rec.history"], item])


def _set(dataset: Dataset, history: list[int]) -> None:
    st.session_state["rec.history"] = history
    ids = dataset.catalogue["item_id"].to_numpy(object)
    st.query_params["history"] = ",".join(str(ids[i - 1]) for i in history)


def _show_history(dataset: Dataset, history: list[int], user: int | None) -> None:
    if not history:
        return
    points = spaces.points(artifacts.store(), dataset.id, "items")
    newest = history[::-1]
    rows = np.asarray(newest) - 1
    whose = "" if user is None else f", {_group(dataset, user)}"
    st.markdown(f"**History** :gray[{len(history):,} items, newest first{whose}]")
    frame = pd.DataFrame(
        {
            "Title": points.titles[rows],
            "In training": points.counts[rows],
            "Group": np.where(points.tail[rows], "Tail Item", "Head Item"),
        }
    )
    editable = user is None
    event = st.dataframe(
        frame,
        hide_index=True,
        key=f"rec.items.{'-'.join(map(str, history[-40:])) if editable else 'user'}",
        height=min(36 * (len(frame) + 1), 184),
        column_config={
            "Title": st.column_config.TextColumn("Title", width=160),
            "In training": st.column_config.NumberColumn("In training", width=80),
            "Group": st.column_config.TextColumn("Group", width=85),
        },
        on_select="rerun" if editable else "ignore",
        selection_mode="multi-row",
        alt="The history, newest first.",
    )
    if not editable:
        st.button("Edit this history", icon=":material/edit:", key="rec.edit", on_click=_edit, args=(dataset, history))
        return
    chosen = set((cast(Any, event) or {"selection": {"rows": []}})["selection"]["rows"])
    kept = [item for i, item in enumerate(newest) if i not in chosen][::-1]
    with st.container(horizontal=True):
        st.button(
            "Remove chosen",
            icon=":material/remove:",
            key="rec.remove",
            disabled=not chosen,
            on_click=_set,
            args=(dataset, kept),
        )
        st.button("Start over", icon=":material/delete:", key="rec.clear", on_click=_set, args=(dataset, []))


def _group(dataset: Dataset, user: int) -> str:
    return "Tail User" if dataset.thresholds.tail_users(dataset.split.train_lengths[user]) else "Head User"


def _edit(dataset: Dataset, history: list[int]) -> None:
    """Take a user's history over into the editor."""
    st.session_state["rec.about"] = dataset.id
    _set(dataset, list(history))
    st.session_state["pick.source"] = "build"
    st.query_params["source"] = "build"


def settings(dataset: Dataset, has_text: bool) -> Settings:
    """The knobs of scoring and re-ranking."""
    most = max(int(dataset.thresholds.item) * 4, 4)
    with st.container(border=True):
        first, second, third = st.columns(3)
        with first:
            weight = st.slider(
                "Content weight",
                0.0,
                8.0,
                0.0,
                0.25,
                key="rec.weight",
                disabled=not has_text,
                help="Adds the highest cosine between a candidate's text and the history's. 1 gives it the spread of a "
                "run's own scores, so that runs can be compared."
                if has_text
                else "Needs text vectors of this dataset.",
            )
            threshold = st.slider(
                "Routing threshold",
                0,
                most,
                0,
                key="rec.threshold",
                help="Items with fewer training interactions are judged by text: their collaborative part is lowered. "
                f"0 is off; the tail begins below {dataset.thresholds.item}.",
            )
        with second:
            together = st.slider(
                "Co-occurrence",
                0.0,
                4.0,
                0.0,
                0.25,
                key="rec.cooccurrence",
                help="Adds how often a candidate was chosen by those who chose what is in the history. 1 gives it the "
                "spread of a run's own scores.",
            )
            route = st.slider("Their collaborative part", 0.0, 1.0, 0.0, 0.1, key="rec.route", disabled=threshold == 0)
        with third:
            popularity = st.slider(
                "Popularity weight",
                -0.5,
                0.5,
                0.0,
                0.05,
                key="rec.popularity",
                help="Adds the logarithm of an item's training interactions: to the right popular items gain, to the "
                "left rare ones. 1 would give it the spread of a run's own scores.",
            )
        only = st.toggle(
            "Weights and routing for tail users only", key="rec.only", help="Head users' lists stay as they are."
        )
        reranker = _reranker()
    k = int(st.session_state.get("rec.k") or 10)
    return Settings(weight, together, popularity, threshold, route, only, reranker, k)


def _reranker() -> RerankConfig:
    """The knobs of the list, below those of scoring."""
    left, right = st.columns(2)
    with left:
        name = st.selectbox("List", list(RERANKERS), format_func=RERANKERS.__getitem__, key="rec.reranker")
    with right:
        strength = st.slider(
            "Strength", 0.0, 1.0, 0.3, 0.05, key="rec.strength", disabled=name == "none", help=MEANING[name]
        )
    return RerankConfig(name=cast(RerankerName, name), strength=strength)


def lists(root: Store, dataset: Dataset, runs: list[Run]) -> None:
    """Whose lists, the knobs, and the lists of all chosen runs, live: every change re-ranks at once."""
    widgets.live(None)(_lists)(root, dataset, runs)


def _lists(root: Store, dataset: Dataset, runs: list[Run]) -> None:
    ready = {run.id: _ready(root, run) for run in runs}
    left, right = st.columns([2, 3], gap="medium")
    with left:
        found = whose(dataset)
    with right:
        chosen = settings(dataset, any(isinstance(r, Recommender) and r.ground.has_text for r in ready.values()))
        against = _view_controls()
        st.caption(PARTS_ABOUT)
    if found is None:
        return
    history, user = found
    for column, run in zip(st.columns(max(len(runs), 1)), runs, strict=True):
        with column, widgets.boundary(f"The list of {run.label}"):
            made = ready[run.id]
            if isinstance(made, UserError):
                st.markdown(f"**{as_text(run.label)}**")
                raise made
            _one_list(root, run, made, history, user, chosen, against, _TITLE[len(runs)])


def _ready(root: Store, run: Run) -> Recommender | UserError:
    """A run that cannot recommend must not take the others with it."""
    try:
        return models.recommender(root, run.id)
    except UserError as error:
        return error


def _view_controls() -> str:
    """How long the lists are, what the arrows compare with, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control("Length", [5, 10, 20], default=10, key="rec.k", label_visibility="collapsed")
        against = links.choose(
            "Arrows compare with",
            list(COMPARED),
            "against",
            kind="segmented",
            show=lambda a: f"Arrows: {COMPARED[a]}",
            label_visibility="collapsed",
        )
        st.button("Reset", icon=":material/restart_alt:", key="rec.reset", type="tertiary", on_click=_reset)
    return str(against)


def _reset() -> None:
    for key in (
        "rec.weight",
        "rec.cooccurrence",
        "rec.popularity",
        "rec.only",
        "rec.threshold",
        "rec.route",
        "rec.reranker",
        "rec.strength",
    ):
        st.session_state.pop(key, None)


def _one_list(
    root: Store,
    run: Run,
    made: Recommender,
    history: list[int],
    user: int | None,
    chosen: Settings,
    against: str,
    longest: int,
) -> None:
    whom = history if user is None else user
    policy = None if chosen.as_made else chosen.policy(models.units(root, run.id))
    frame = _with_reasons(made, made.request(whom, chosen.k, policy, chosen.reranker), longest)
    ids = frame["item_id"].tolist()
    before = made.recommend(whom, chosen.k)["item_id"].tolist() if against == "plain" else _previous(run.id, user, ids)
    moves = moved(ids, before)
    seed = run.manifest.seed
    st.markdown(f"**{as_text(run.label)}** :gray[seed {seed}]")
    # Always two lines, so that lists side by side begin at the same height.
    applied = policy or made.policy
    about = applied.describe() if chosen.as_made and not applied.inert else None
    st.caption(f"{changed_line(ids, before, frame['tail'])}.  \n{_applied(applied, chosen)}.", help=about)
    exhibits.chart(
        charts.list_figure(frame, moves, widgets.mode(), longest=longest),
        key=f"rec.list.{run.id}",
        alt=charts.describe(run.label, frame, moves),
        data=charts.list_table(frame, moves),
        name=f"recommendations-{run.id}",
        column_config={
            c: st.column_config.NumberColumn(c, format="%.3f")
            for c in ("Score", "Collaborative", "Semantic", "Content")
        },
    )
    gone = dropped(ids, before)
    if gone:
        titles = made.titles[[made.dataset.item(i) - 1 for i in gone]]
        st.caption("Gone: " + ", ".join(as_text(t, 40) for t in titles[:5]) + (" …" if len(gone) > 5 else ""))


def _with_reasons(made: Recommender, request: Request, longest: int) -> pd.DataFrame:
    """The list, with the items of the history that each item is due to."""
    answer = made.answer([request])[0]
    why = explain(made.scored, request.history, answer.items.tolist(), request.policy, request.user)
    titles = made.titles.tolist()
    return made.frame(answer).assign(why=[sentence(e, titles, longest=longest // 3) for e in why])


def _applied(policy: ScoringPolicy, chosen: Settings) -> str:
    """What was done to the scores of a run."""
    if policy.inert:
        return "Scores as trained"
    if chosen.as_made:
        return "Tuned scoring"
    said = policy.describe()
    knobs = (
        ("content weight", chosen.weight, policy.gamma, ""),
        ("co-occurrence weight", chosen.cooccurrence, policy.cooccurrence, ""),
        ("popularity weight", chosen.popularity, policy.popularity, "+"),
    )
    for name, knob, value, sign in knobs:
        said = said.replace(f"{name} {value:{sign}g}", f"{name} {knob:{sign}g} (in scores {value:{sign}g})")
    return f"{said[0].upper()}{said[1:]}"


def _previous(run_id: str, user: int | None, ids: list[str]) -> list[str] | None:
    """The list as it was before it last changed, for the same user or the edited history."""
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
        f"{dataset.thresholds.describe()} A user's list follows the whole history and leaves out what is in it. "
        "Scores of different runs are on scales of their own."
    )
