"""Charts and tables on a page, with what stands beside them: the definition, meanings, downloads, the pin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from llmesr.config import SplitConfig
from llmesr.data.groups import Thresholds
from llmesr.views.shared import links, pins, theme, words
from llmesr.views.shared.tables import csv_bytes, harmless


def caption(protocol: str, thresholds: Thresholds, split: SplitConfig, part: str = "test") -> None:
    """Protocol, split and head/tail definition, to stand beside every number."""
    st.caption(words.protocol_line(protocol, thresholds, split, part), help=words.split_line(split))


def definition_not_kept(made: str) -> None:
    """Below the caption of what an earlier version made, which did not keep the head and tail it was of."""
    st.caption(
        f"{made} before its definition of head and tail was kept: if the dataset's has changed since, the numbers are "
        "of the one before."
    )


def explain(metrics: Sequence[str], label: str = "What do these mean?") -> None:
    """The meaning of metrics, groups and protocols on demand."""
    with st.popover(label, icon=":material/help:", type="tertiary"):
        for metric in metrics:
            st.markdown(f"**{metric}**: {words.metric_meaning(metric)}")
        for name, sentence in words.PROTOCOLS.items():
            st.markdown(f"**{words.PROTOCOL_NAMES[name]}**: {sentence}")
        st.markdown(words.JUDGED)
        st.markdown(words.COUNTED)


def chart(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    data: pd.DataFrame | None = None,
    name: str | None = None,
    column_config: dict[str, Any] | None = None,
    scroll_zoom: bool = False,
    **events: Any,
) -> Any:
    """A chart and, as its equal, the table it draws, both to be downloaded, and pinned as one finding.

    ``alt`` says in words what the chart shows. ``events`` are ``on_select`` and ``selection_mode``; the selection
    is returned.
    """
    config = theme.plotly_config(name or key, links.current("image", "png")) | {"scrollZoom": scroll_zoom}
    pins.button(key, figure, data, alt)
    if data is None:
        return st.plotly_chart(figure, theme=None, config=config, alt=alt, key=key, **events)
    picture, numbers = st.tabs(["Chart", "Table"])
    with picture:
        selected = st.plotly_chart(figure, theme=None, config=config, alt=alt, key=key, **events)
    with numbers:
        _table(data, f"{key}.table", column_config, None, alt=alt)
        download_csv(data, name or key, key=f"{key}.table.csv")
    return selected


def table(
    frame: pd.DataFrame,
    *,
    key: str,
    name: str | None = None,
    column_config: dict[str, Any] | None = None,
    formats: Mapping[str, Callable[[float], str]] | None = None,
    beside: Callable[[], object] | None = None,
    data: pd.DataFrame | None = None,
    **more: Any,
) -> Any:
    """A table and, with a ``name``, a button that saves it as CSV and one that pins it. ``formats``: how columns of
    numbers are written, where Streamlit's own formats do not do (it writes a hyphen for a minus). ``beside`` draws what
    else stands in the row of the buttons. ``data``: what the CSV holds, where the table puts numbers into words.
    ``more`` goes to ``st.dataframe`` (selection, height); the selection is returned."""
    selected = _table(frame, key, column_config, formats, **more)
    if name and len(frame):
        with st.container(horizontal=True):
            download_csv(frame if data is None else data, name, key=f"{key}.csv")
            pins.button(key, None, frame, str(more.get("alt", "")))
            if beside:
                beside()
    return selected


def _table(
    frame: pd.DataFrame,
    key: str,
    column_config: dict[str, Any] | None,
    formats: Mapping[str, Callable[[float], str]] | None,
    **more: Any,
) -> Any:
    shown = harmless(frame)
    written = shown.style.format(dict(formats), na_rep="") if formats else shown
    return st.dataframe(written, hide_index=True, column_config=column_config, key=key, **more)


def download_csv(frame: pd.DataFrame, name: str, *, key: str, label: str = "Download CSV") -> None:
    """The frame as CSV, made only when asked for; text that a spreadsheet would run is neutralised."""
    st.download_button(
        label,
        data=lambda: csv_bytes(frame),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
    )
