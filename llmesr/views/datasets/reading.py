"""How files are to be read: their encoding and delimiters, their times, what of the items; shown before the import."""

from __future__ import annotations

from typing import Any

import streamlit as st

from llmesr.config import IngestConfig
from llmesr.data.attributes import attributes_of
from llmesr.data.glimpse import glimpse
from llmesr.data.plan import NO_TIME
from llmesr.data.sources import Source
from llmesr.errors import UserError
from llmesr.views.shared import exhibits, forms
from llmesr.views.shared.controls import WRITTEN, for_the_form
from llmesr.views.shared.words import as_text


def written() -> dict[str, Any]:
    """How the files are written, where it is not guessed."""
    schema = forms.settings(IngestConfig)
    values: dict[str, Any] = {}
    with st.expander("How the files are written (only if the guesses below are wrong)", icon=":material/spellcheck:"):
        for name, column in zip(WRITTEN, st.columns(len(WRITTEN)), strict=True):
            with column:
                value = forms.setting_widget(schema[name], schema[name].default, f"ingest.{name}", linked=True)
            if value != schema[name].default:
                values[name] = value
    return values


def as_read(source: Source, columns: dict[str, str], how: dict[str, Any]) -> dict[str, Any]:
    """The format of times, and the first and last history as they will be read with it."""
    if not {"user_id", "item_id"} <= set(columns):
        return {}
    setting = forms.settings(IngestConfig)["time_format"]
    given = forms.setting_widget(setting, None, "ingest.time_format", linked=True) if columns.get("timestamp") else None
    chosen = {"time_format": given} if given else {}
    mapping = {"timestamp": "", **columns}
    try:
        config = IngestConfig.read(None, name="preview", columns=mapping, **how, **chosen)
        histories = glimpse(source, config)
    except UserError as error:
        st.warning(as_text(for_the_form(str(error)), 600), icon=":material/warning:")
        return chosen
    if not columns.get("timestamp"):
        st.warning(NO_TIME, icon=":material/warning:")
    st.markdown("**The first and the last history, as they will be read**")
    exhibits.table(histories, key="histories", alt="The first and the last history of the first rows.")
    return chosen


def attributes(source: Source, chosen: dict[str, str]) -> dict[str, str]:
    """What else is read about the items: all but counts, links, vectors and ids, unless somebody takes them in."""
    config = IngestConfig.read(None, name="preview", item_columns=chosen)
    _, read, left_out = attributes_of(source, config, inside=False)
    usual = [c for name, c in read.items() if name != "title"]
    reasons = "; ".join(f"{c}: {why}" for c, why in left_out.items()) or "none"
    picked = st.multiselect(
        "Also read about each item", [*usual, *left_out], usual, help=f"Left out at first: {as_text(reasons, 600)}.",
        key=f"attributes.{source.name}", bind="query-params",
    )  # fmt: skip
    return {**{c: c for c in picked if c in left_out}, **{c: "" for c in usual if c not in picked}}
