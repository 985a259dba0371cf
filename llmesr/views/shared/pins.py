"""The pin: keeps any chart or table of a page as a finding, with what the page says its numbers are of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from llmesr import findings
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError, machine_failure
from llmesr.evaluation.doubts import Doubt
from llmesr.findings.record import LONGEST_NOTE, LONGEST_TITLE
from llmesr.views.cache import artifacts
from llmesr.views.shared import widgets, words
from llmesr.views.shared.marks import unmarked

_PAGE, _ABOUT, _REFUSED = "pins.page", "pins.about", "pins.refused"
_SENTENCE = re.compile(r"[.:;,] ")
LEFT_OUT = ("present", "image")
"""Choices of an address that say nothing of what is shown."""


@dataclass(frozen=True, eq=False)
class About:
    """What the charts and tables of a page are of. ``doubts`` asks the guard, when something is pinned."""

    dataset: Dataset
    runs: Sequence[str]
    thresholds: Thresholds
    protocol: str = ""
    metric: str = ""
    doubts: Callable[[], Sequence[Doubt]] = tuple
    stated: bool = False
    """Whether the charts say themselves what they are of."""
    part: str = "test"

    def subject(self) -> findings.Subject:
        """The same as it is kept."""
        data, thresholds = self.dataset, self.thresholds
        line = thresholds.describe()
        if self.protocol:
            line = words.protocol_line(self.protocol, thresholds, data.split_config, self.part)
        return findings.Subject(
            dataset=data.id,
            dataset_name=data.name,
            runs=tuple(dict.fromkeys(self.runs)),
            metric=self.metric,
            protocol=self.protocol,
            tail_item=thresholds.item,
            tail_user=thresholds.user,
            definition="" if self.stated else line,
            doubts=tuple((d.severity, d.sentence) for d in self.doubts()),
        )


def begin(page: str) -> None:
    """A page begins: what the one before was about is forgotten. Parts that draw themselves alone keep it."""
    st.session_state[_PAGE] = page
    for key in (_ABOUT, _REFUSED):
        st.session_state.pop(key, None)


def about(
    dataset: Dataset,
    runs: Sequence[str],
    thresholds: Thresholds,
    *,
    protocol: str = "",
    metric: str = "",
    doubts: Callable[[], Sequence[Doubt]] = tuple,
    stated: bool = False,
    part: str = "test",
) -> None:
    """Say what the charts and tables that follow are of; from then on they can be pinned."""
    st.session_state[_ABOUT] = About(dataset, runs, thresholds, protocol, metric, doubts, stated, part)


def button(key: str, figure: go.Figure | None, table: pd.DataFrame | None, alt: str) -> None:
    """The pin of one chart or table, where the page has said what its numbers are of."""
    of: About | None = st.session_state.get(_ABOUT)  # as it is here: what follows on the page may be of something else
    if of is None:
        return
    # So that it takes no room: in the line of the tabs; without tabs, in the line that stands above a chart.
    place = "at" if figure is None else "above" if table is not None else "beside"
    holder = st.container(horizontal=True, horizontal_alignment="right" if figure else "left", key=f"pin-{place}-{key}")
    with holder:
        if st.button("Pin", key=f"pin.{key}", icon=":material/keep:", type="tertiary", help="Keep this as a finding"):
            _ask(of, key, figure, table, alt)


def heading(figure: go.Figure | None, alt: str) -> str:
    """A title to begin with: that of the figure as text, else the beginning of what it shows in words."""
    title = figure.layout.title.text if figure is not None else None
    if title:
        return unmarked(title)[:LONGEST_TITLE]
    return words.one_line(_SENTENCE.split(alt, maxsplit=1)[0].rstrip("."), 100)


@st.dialog("Pin this")
def _ask(of: About, key: str, figure: go.Figure | None, table: pd.DataFrame | None, alt: str) -> None:
    """A title and a note for what is pinned."""
    refused = st.session_state.pop(_REFUSED, None)
    if refused == "":
        st.rerun()  # it is kept, and the dialog closes
    if refused:
        st.error(words.as_text(refused), icon=":material/error:")
    st.text_input("Title", heading(figure, alt), max_chars=LONGEST_TITLE, key=f"pin.title.{key}")
    asked = "What does it show, and what follows from it?"
    st.text_area("Note", key=f"pin.note.{key}", max_chars=LONGEST_NOTE, placeholder=asked)
    st.button(
        "Pin",
        type="primary",
        key=f"pin.keep.{key}",
        icon=":material/keep:",
        on_click=_keep,
        args=(of, key, figure, table, alt),
    )


def _keep(of: About, key: str, figure: go.Figure | None, table: pd.DataFrame | None, alt: str) -> None:
    """Keep it; why not is said in the dialog."""
    try:
        findings.pin(
            st.session_state[f"pin.title.{key}"],
            figure,
            table,
            note=st.session_state[f"pin.note.{key}"],
            alt=alt,
            subject=of.subject(),
            page=str(st.session_state[_PAGE]),
            query=_query(of),
            mode=widgets.mode(),
            store=artifacts.store(),
        )
    except (UserError, OSError) as error:
        st.session_state[_REFUSED] = machine_failure(error) or str(error)
        return
    st.session_state[_REFUSED] = ""
    st.toast("Pinned. It stands on the page Findings.", icon=":material/keep:")


def _query(of: About) -> dict[str, list[str]]:
    """The choices in the address, with the dataset and the head/tail definition even where they are the usual ones."""
    here: dict[str, Any] = {k: st.query_params.get_all(k) for k in st.query_params if k not in LEFT_OUT}
    border = {"tail_item": [str(of.thresholds.item)], "tail_user": [str(of.thresholds.user)]}
    return {"dataset": [of.dataset.id], **here, **border}
