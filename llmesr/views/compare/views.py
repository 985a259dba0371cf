"""The views of the Compare page by the question they answer: first the question, then its views.

The address names the view alone (``?view=slices``); its question follows.
"""

from __future__ import annotations

import streamlit as st

from llmesr.views.shared import links

QUESTIONS: dict[str, dict[str, str]] = {
    "For whom?": {"groups": "Groups", "curves": "Curves", "slices": "Slices", "users": "Users"},
    "At what price?": {"seesaw": "Trade-offs", "lists": "Lists"},
    "Does it hold?": {"popularity": "Popularity", "splits": "Splits", "defend": "Defend"},
    "What would help?": {"scoring": "Scoring", "allocation": "Allocation", "search": "Search", "study": "Study"},
}
NAMES = {view: name for views in QUESTIONS.values() for view, name in views.items()}
_ASKED = "compare.question"


def pick() -> str:
    """A question and one of its views; the view's key."""
    wanted = links.wanted("view")
    question = question_of(str(wanted))
    st.session_state[_ASKED] = question  # whatever brought the view: a link, a button, or this very switch
    with st.container(horizontal=True, key="compare-views"):
        st.segmented_control(
            "Question", list(QUESTIONS), key=_ASKED, on_change=_turn, label_visibility="collapsed", wrap=True
        )
        views = QUESTIONS[question]
        chosen = links.choose(
            "View", list(views), "view", kind="segmented", show=views.__getitem__, label_visibility="collapsed"
        )
    return str(chosen)


def question_of(view: str) -> str:
    """The question a view answers; of an unknown one the first."""
    return next((question for question, views in QUESTIONS.items() if view in views), next(iter(QUESTIONS)))


def _turn() -> None:
    """To the first view of the question; a second click on the same question changes nothing."""
    if asked := st.session_state[_ASKED]:
        links.preselect("view", next(iter(QUESTIONS[asked])))
