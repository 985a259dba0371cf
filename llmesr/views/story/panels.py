"""The Story page: one step at a time, large enough to be shown to a room."""

from __future__ import annotations

import streamlit as st

from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts
from llmesr.views.shared import doubts, exhibits, links, pickers, pins, presenting, widgets
from llmesr.views.shared.words import as_text
from llmesr.views.story.material import METRIC, material
from llmesr.views.story.steps import NAMES, STEPS, StoryStep


def tell(root: Store, dataset: Manifest) -> None:
    """Draw the step the URL asks for, and the way to the others."""
    number = presenting.number(len(NAMES))
    presenting.style()
    protocol = pickers.pick_protocol()
    data = artifacts.dataset(root, dataset.id)
    thresholds = pickers.pick_thresholds(root, data)
    example = st.session_state.get("story.example", 0)
    told = material(root, data, thresholds=thresholds, metric=METRIC, protocol=protocol, example=example)
    step = STEPS[number - 1](told)
    runs = [id for c in told.protagonists if c is not None for id in c.ids]
    pins.about(data, runs, thresholds, protocol=protocol, metric=METRIC, doubts=lambda: step.doubts)
    presenting.way(NAMES)
    st.title(f"{number}. {as_text(step.headline, 400)}", anchor=False)
    _show(root, dataset.id, step, number)


def _show(root: Store, dataset: str, step: StoryStep, number: int) -> None:
    words, picture = st.columns([2, 3] if step.chart else [4, 1], gap="large")
    with words, st.container(key="told"):
        doubts.shown(root, dataset, step.doubts)
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
