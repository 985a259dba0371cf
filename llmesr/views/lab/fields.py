"""The fields of an item's text in a form: the title, short attributes beside each other, long ones below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.views.shared.words import one_line

LONG = 60
"""Characters of a value from which on a field has several lines."""
NARROW = 130
"""Pixels of a field beside another; more where there is room."""


def text_fields(
    dataset: Dataset,
    key: str,
    *,
    long: Sequence[str],
    values: Mapping[str, str] | None = None,
    examples: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What stands in each field, without space around it. ``long``: the columns with several lines; ``values`` to begin
    with, or ``examples`` in grey."""
    given: dict[str, str] = {}

    def field(column: str) -> None:
        made = st.text_area if column in long else st.text_input
        given[column] = str(
            made(
                column.replace("_", " ").capitalize(),
                (values or {}).get(column, ""),
                key=f"{key}.{column}",
                placeholder=one_line((examples or {}).get(column, ""), LONG),
            )
        ).strip()

    short = [c for c in dataset.text_columns if c not in long]
    alone, beside = short[:1], short[1:]
    for column in alone:
        field(column)
    if beside:
        with st.container(horizontal=True, key=f"{key}-short".replace(".", "-")):
            for column in beside:
                with st.container(width=NARROW if len(beside) > 1 else "stretch"):
                    field(column)
    for column in long:
        field(column)
    return {column: given[column] for column in dataset.text_columns}
