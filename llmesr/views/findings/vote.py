"""A blind vote: prepare one, show it to an audience, and reveal what was chosen when that is wanted."""

from __future__ import annotations

import secrets

import numpy as np
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.prose import counted
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.views.cache import artifacts, evidence, models
from llmesr.views.shared import links, pickers, presenting, theme, widgets
from llmesr.views.shared.words import as_text
from llmesr.votes import KIND, Choice, Vote, prepare

LENGTH, HISTORY = 5, 8
"""Items of a list, and of the history, that an audience can take in."""
ABOUT = (
    "Two runs recommend to the same user. The audience sees both lists without the names of the methods, in an order "
    "drawn anew for each voter, and chooses, once each. Nothing is revealed until you ask for it. A vote is about one "
    "history: "
    "it says what people like, not which method finds more of what users choose."
)


def votes(root: Store) -> None:
    """The votes of a dataset, and the form for another."""
    st.markdown(ABOUT)
    dataset = pickers.pick_dataset(root)
    if dataset is None:
        return
    there = [Vote(root, m) for m in artifacts.manifests(root, KIND) if m.config.get("dataset") == dataset.id]
    with st.expander("Prepare a vote", expanded=not there), widgets.boundary("The vote"):
        _form(root, artifacts.dataset(root, dataset.id))
    for vote in there:
        with st.container(border=True), widgets.boundary("This vote"):
            _row(vote)
    widgets.damaged(root, KIND)


def _form(root: Store, dataset: Dataset) -> None:
    runs = {r.id: r for r in artifacts.runs(root, dataset.id, finished=True)}
    if len(runs) < 2:
        widgets.empty("A vote needs two finished runs of this dataset.", links.TRAINING, "Train a run")
        return
    ids = _best_first(root, dataset.id, list(runs))
    columns = st.columns([2, 2, 1], vertical_alignment="bottom")
    first = columns[0].selectbox("One run", ids, format_func=lambda id: pickers.run_name(runs[id]), key="vote.first")
    rest = [id for id in ids if id != first]
    second = columns[1].selectbox("Another", rest, format_func=lambda id: pickers.run_name(runs[id]), key="vote.second")
    user = columns[2].text_input("User ID", _somebody(dataset), key="vote.user")
    if st.button("Prepare", type="primary", key="vote.prepare", icon=":material/how_to_vote:"):
        made = _prepared(root, dataset, runs[first], runs[second], user.strip())
        st.query_params["vote"] = made.id
        presenting.present(True)
        st.rerun()


def _best_first(root: Store, dataset_id: str, ids: list[str]) -> list[str]:
    """The runs in the order in which their configurations did on validation, each configuration's first run first."""
    every = sorted(
        evidence.everyone(root, dataset_id), key=lambda c: -np.nan_to_num(evidence.validation(root, c), nan=-1.0)
    )
    firsts = [c.ids[0] for c in every]
    return [*firsts, *(id for id in ids if id not in firsts)]


def _somebody(dataset: Dataset) -> str:
    """A user with a history long enough to judge by, the same every time."""
    lengths = dataset.split.train_lengths
    longest = np.flatnonzero(lengths >= min(HISTORY, int(lengths.max(initial=0))))
    return str(dataset.user_ids[longest[len(longest) // 2]]) if len(longest) else ""


def _prepared(root: Store, dataset: Dataset, first: Run, second: Run, user_id: str) -> Vote:
    user = dataset.user(user_id)
    titles = dataset.catalogue["title"].to_numpy(object)
    lists = [[str(t) for t in models.recommender(root, r.id).recommend(user, LENGTH)["title"]] for r in (first, second)]
    history = [str(titles[i - 1]) for i in dataset.history(user)[::-1][:HISTORY]]
    return prepare(first, second, lists, history, user=user_id)


def _row(vote: Vote) -> None:
    st.markdown(f"**{as_text(vote.manifest.name)}** :gray[{theme.date(vote.manifest.created)}]")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Show", key=f"vote.open.{vote.id}", icon=":material/slideshow:", on_click=_open, args=(vote.id,))
        st.caption(counted(vote.tally().votes, "vote"))
        with st.popover("Delete", icon=":material/delete:", key=f"vote.delete.{vote.id}"):
            st.markdown("The vote and all that was voted are deleted.")
            st.button("Delete it", key=f"vote.delete.it.{vote.id}", on_click=_delete, args=(vote,))


def _open(id: str) -> None:
    st.query_params["vote"] = id
    presenting.present(True)


def _leave() -> None:
    st.query_params.pop("vote", None)
    presenting.present(False)


def shown(root: Store, id: str) -> None:
    """One vote, for a room: the history, both lists, three buttons."""
    presenting.style()
    vote = Vote(root, root.manifest(KIND, id))
    as_a = _order(vote)
    other = next(run for run in vote.runs if run != as_a)
    st.title("Which list would you rather be shown?", anchor=False)
    with st.container(key="told"):
        st.markdown("**Chosen so far, newest first:** " + " · ".join(as_text(t, 80) for t in vote.history))
    with st.container(key="vote-lists"):
        columns = st.columns(2)
    for column, letter, run in zip(columns, "AB", (as_a, other), strict=True):
        with column, st.container(border=True, key=f"told-{letter}"):
            st.subheader(letter, anchor=False)
            st.markdown("\n".join(f"{n}. {as_text(t, 120)}" for n, t in enumerate(vote.titles(run), start=1)))
    _ask(vote, as_a)
    with st.container(horizontal=True, vertical_alignment="center"):
        reveal = st.toggle("Reveal", key=f"vote.reveal.{id}", on_change=_see, args=(vote,))
        st.button("Leave", key="vote.leave", on_click=_leave)
        st.caption(f"{counted(vote.tally().votes, 'vote')} so far")
    if reveal:
        names = vote.labels
        st.info(
            f"**A** is {as_text(names[as_a])}, **B** is {as_text(names[other])}. "
            + as_text(vote.tally().sentence(*(names[run] for run in vote.runs)), 600),
            icon=":material/how_to_vote:",
        )


def _ask(vote: Vote, as_a: str) -> None:
    """Three buttons; for who has voted the next voter, for who has seen the names nothing."""
    choices: tuple[tuple[Choice, str], ...] = (("A", "A"), ("same", "No difference"), ("B", "B"))
    with st.container(horizontal=True, key="vote-cast"):
        if st.session_state.get(f"vote.seen.{vote.id}"):
            st.caption("The names have been shown here, so no more votes are taken on this screen.")
        elif st.session_state.get(f"vote.cast.{vote.id}"):
            st.button("Next voter", key="vote.next", type="primary", width="stretch", on_click=_next, args=(vote,))
        else:
            for choice, label in choices:
                key = f"vote.{choice}"
                st.button(label, key=key, type="primary", width="stretch", on_click=_cast, args=(vote, as_a, choice))


def _next(vote: Vote) -> None:
    """Another person at this screen, to whom the lists are shown in an order of their own."""
    for key in ("cast", "order"):
        st.session_state.pop(f"vote.{key}.{vote.id}", None)


def _order(vote: Vote) -> str:
    """Which run stands as A for this voter; drawn once."""
    key = f"vote.order.{vote.id}"
    if key not in st.session_state:
        st.session_state[key] = secrets.choice(vote.runs)
    return str(st.session_state[key])


@widgets.acting
def _delete(vote: Vote) -> None:
    vote.store.delete(KIND, vote.id)


def _see(vote: Vote) -> None:
    st.session_state[f"vote.seen.{vote.id}"] = True


@widgets.acting
def _cast(vote: Vote, as_a: str, choice: Choice) -> None:
    """Once for each voter, and never after the names were shown, however often a click arrives."""
    if any(st.session_state.get(f"vote.{key}.{vote.id}") for key in ("cast", "seen")):
        return
    vote.cast(as_a, choice)
    st.session_state[f"vote.cast.{vote.id}"] = True
    st.toast("Your vote is counted.", icon=":material/how_to_vote:")
