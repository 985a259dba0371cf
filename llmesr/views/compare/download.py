"""The whole comparison as one file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llmesr.evaluation.contrast import seesaw
from llmesr.store import slug
from llmesr.views.cache import artifacts
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.deck import comparison_deck
from llmesr.views.compare.reasons import reasons
from llmesr.views.compare.report import Measured, comparison_report
from llmesr.views.shared.report import Section
from llmesr.views.story.material import material
from llmesr.views.story.steps import STEPS, StoryStep, sections


def download_buttons(choice: Choice) -> None:
    """The whole comparison as one file, an HTML report or slides, written when it is asked for."""
    st.download_button(
        "Download the report (HTML)",
        data=lambda: _report(choice).encode(),
        file_name=f"{slug(choice.dataset.name)}-comparison.html",
        mime="text/html",
        key="report",
        icon=":material/description:",
        on_click="ignore",
        help="One file with every chart (interactive, opens offline), table, test, definition and where it comes from.",
    )
    st.download_button(
        "Download slides (PowerPoint)",
        data=lambda: comparison_deck(choice.dataset, choice.chosen, _measured(choice)),
        file_name=f"{slug(choice.dataset.name)}-comparison.pptx",
        mime="application/vnd.openxmlformats-officedocument.presentationml.presentation",
        key="deck",
        icon=":material/slideshow:",
        on_click="ignore",
        help="Whom it fails and what text changes, charts that PowerPoint can edit, tables, what stands against it.",
    )


def _story(choice: Choice) -> list[StoryStep]:
    """Told by every run of the dataset: what is compared may lack the plain recommender."""
    told = material(
        choice.root,
        choice.dataset,
        thresholds=choice.thresholds,
        metric=f"HR@{choice.k}",
        protocol=choice.protocol,
    )
    return [step(told) for step in STEPS]


def _report(choice: Choice) -> str:
    used = {p.id for c in choice.chosen for m in c.manifests for p in m.parents if p.kind == "embeddings"}
    embeddings = [m for m in artifacts.manifests(choice.root, "embeddings") if m.id in used]
    found = _measured(choice, sections(_story(choice)))
    return comparison_report(choice.dataset, choice.chosen, found, embeddings)


def _measured(choice: Choice, story: Sequence[Section] = ()) -> Measured:
    """What the page shows of a comparison, all views of it."""
    comparison = choice.comparison() if choice.others else None
    return Measured(
        metric=choice.metric,
        k=choice.k,
        protocol=choice.protocol,
        thresholds=choice.thresholds,
        reference=choice.reference,
        summary=choice.summary(),
        popularity=choice.curves("popularity"),
        length=choice.curves("length"),
        trade_off=choice.trade_off(),
        beyond=choice.beyond(),
        every=choice.every_metric(),
        explained=choice.popularity(),
        reasons=reasons(choice.root, choice.dataset, choice.chosen),
        comparison=comparison,
        verdicts=choice.judged() if choice.others else (),
        doubts=choice.doubts(),
        seesaw=None if comparison is None else choice.labelled(seesaw(comparison, choice.metric)),
        story=story,
        foremost=choice.foremost if choice.others else "",
        alike=choice.alike() if choice.others else "",
    )
