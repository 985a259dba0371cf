"""The Story page: one step at a time, large enough to be shown to a room."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import doubts, exhibits, links, pickers, widgets
from llmesr.views.shared.words import as_text
from llmesr.views.story.material import METRIC, material
from llmesr.views.story.steps import NAMES, STEPS, StoryStep

_NUMBERS = [str(i) for i in range(1, len(NAMES) + 1)]
_LARGE = """<style>
[data-testid="stMain"] h1 {font-size: clamp(1.8rem, 3.2vw, 3.2rem); line-height: 1.15}
[data-testid="stMain"] .st-key-told p {font-size: 1.2rem; line-height: 1.5}
</style>"""
_ALONE = """<style>
[data-testid="stSidebar"], [data-testid="stSidebarCollapsedControl"], [data-testid="stExpandSidebarButton"],
[data-testid="stHeader"] {display: none}
[data-testid="stMainBlockContainer"] {padding-top: 2rem; max-width: 1500px; margin: auto}
</style>"""
"""Styles only: no data is ever part of them."""


def tell(root: Store, dataset: Manifest) -> None:
    """Draw the step the URL asks for, and the way to the others."""
    number = _number()
    alone = st.query_params.get("present") == "1"
    st.html(_LARGE + (_ALONE if alone else ""))
    protocol = pickers.pick_protocol()
    data = artifacts.dataset(root, dataset.id)
    thresholds = pickers.pick_thresholds(root, data)
    example = st.session_state.get("story.example", 0)
    step = STEPS[number - 1](
        material(root, data, thresholds=thresholds, metric=METRIC, protocol=protocol, example=example)
    )
    _way(number, alone)
    st.title(f"{number}. {as_text(step.headline, 400)}", anchor=False)
    _show(root, dataset.id, step, number)


def _number() -> int:
    """The step in the URL, 1 when it names none."""
    wanted = st.query_params.get("step", "1")
    return int(wanted) if wanted in _NUMBERS else 1


def _go(number: int) -> None:
    st.query_params["step"] = str(number)


def _way(number: int, alone: bool) -> None:
    """Previous, the five steps, next; the arrow keys do the same."""
    with st.container(horizontal=True, vertical_alignment="center"):
        at = {"first": number == 1, "last": number == len(NAMES)}
        st.button("Previous", on_click=_go, args=(number - 1,), disabled=at["first"], shortcut="Left", key="previous")
        for i, name in enumerate(NAMES, start=1):
            kind: Literal["primary", "tertiary"] = "primary" if i == number else "tertiary"
            st.button(str(i), help=name, on_click=_go, args=(i,), key=f"step.{i}", type=kind)
        st.button("Next", on_click=_go, args=(number + 1,), disabled=at["last"], shortcut="Right", key="next")
        st.button(
            "Leave" if alone else "Present",
            on_click=_present,
            args=(not alone,),
            key="present",
            help="The step alone, without menus. F11 gives it the whole screen.",
        )
        st.caption(f"Step {number} of {len(NAMES)}: {NAMES[number - 1]}")


def _present(on: bool) -> None:
    if on:
        st.query_params["present"] = "1"
    else:
        st.query_params.pop("present", None)


def _show(root: Store, dataset: str, step: StoryStep, number: int) -> None:
    words, picture = st.columns([2, 3] if step.chart else [4, 1], gap="large")
    with words, st.container(key="told"):
        doubts.shown(root, dataset, step.findings)
        for sentence in step.sentences:
            st.markdown(as_text(sentence, 1000))
        if step.missing:
            widgets.empty(as_text(step.missing, 600), links.TRAINING, "Go to Training")
        if number == 3 and step.chart:
            st.button("Another tail item", on_click=_another, key="another", icon=":material/shuffle:")
    if step.chart:
        with picture:
            figure = step.chart(widgets.mode())
            exhibits.chart(figure, key=f"story.{number}", alt=step.alt, data=step.table, name=f"story-{number}")


def _another() -> None:
    st.session_state["story.example"] = st.session_state.get("story.example", 0) + 1
