"""The Story page: one step at a time, large enough to be shown to a room."""

from __future__ import annotations

import streamlit as st

from llmesr.config import EVERY_GROUP
from llmesr.store import Manifest, Store
from llmesr.views.cache import artifacts, evidence
from llmesr.views.shared import behind, clicks, doubts, links, pickers, pins, presenting, widgets
from llmesr.views.shared.words import as_text
from llmesr.views.story.material import METRIC, Material, material
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
    mark = _show(root, dataset.id, step, number)
    _behind(told, number, mark)


def _show(root: Store, dataset: str, step: StoryStep, number: int) -> list[str]:
    """The words and the picture; returned is what the mark that was clicked carries."""
    words, picture = st.columns([2, 3] if step.chart else [4, 1], gap="large")
    with words, st.container(key="told"):
        doubts.shown(root, dataset, step.doubts)
        for sentence in step.sentences:
            st.markdown(as_text(sentence, 1000))
        if step.missing:
            widgets.empty(as_text(step.missing, 600), links.TRAINING, "Go to Training")
        if number == 3 and step.chart:
            st.button("Another tail item", on_click=_another, key="another", icon=":material/shuffle:")
    if not step.chart:
        return []
    with picture:
        figure = step.chart(widgets.mode())
        name = f"story-{number}"
        return clicks.chart(figure, key=f"story.{number}", parts=1, alt=step.alt, data=step.table, name=name)


def _behind(told: Material, number: int, mark: list[str]) -> None:
    """The item behind a mark of the third step; of the others the users of a group, by both protagonists."""
    key, data = f"story.{number}", told.dataset
    if len(mark) != 1 or told.plain is None or told.text is None:
        return
    if number == 3:
        if item := behind.item_number(mark[0], data):
            behind.items(behind.of_items([item], data, told.thresholds), "Near by text", key)
        return
    if mark[0] not in EVERY_GROUP:
        return
    pair = {c.name: c.ids for c in (told.plain, told.text)}
    moved = evidence.movers(told.root, pair, told.metric, told.protocol)
    title = f"{mark[0]}: {as_text(told.plain.name)} (before) and {as_text(told.text.name)} (after)"
    behind.users(behind.of_movers(moved, data, told.thresholds, mark[0]), title, key, k=10)


def _another() -> None:
    st.session_state["story.example"] = st.session_state.get("story.example", 0) + 1
