"""What a file holds and which of its columns is what: guessed, with a preview, and to be corrected."""

from __future__ import annotations

import streamlit as st

from llmesr.data.columns import INTERACTION_FIELDS
from llmesr.data.sources import Source
from llmesr.views.datasets import reading
from llmesr.views.datasets.roles import item_column, title_column
from llmesr.views.shared import exhibits
from llmesr.views.shared.words import as_text

ROLES = {"interactions": "Interactions", "items": "Items", "users": "Users", "ignore": "Ignore"}
FIELDS = {
    "user_id": "User",
    "item_id": "Item",
    "timestamp": "Time",
    "weight": "Rating or weight",
    "review": "Review text",
}
NONE = "—"
SHOWN = 50
"""Columns of a preview."""


def role_of(source: Source, likely: str, number: int) -> str:
    """What a file holds, guessed and to be corrected, above its first rows."""
    with st.container(border=True):
        role = st.radio(
            as_text(source.name),
            list(ROLES),
            index=list(ROLES).index(likely),
            format_func=ROLES.__getitem__,
            horizontal=True,
            key=f"role.{number}.{source.name}",
            bind="query-params",
        )
        shown = source.sample.head(6).iloc[:, :SHOWN]
        exhibits.table(shown, key=f"preview.{number}", alt=f"First rows of {source.name}.")
        if len(source.columns) > SHOWN:
            st.caption(f"The first {SHOWN} of {len(source.columns):,} columns.")
    return str(role)


def of_interactions(source: Source) -> dict[str, str]:
    st.markdown("**Columns of the interactions**")
    guesses = source.interaction_guess
    chosen: dict[str, str] = {}
    for field, column in zip(INTERACTION_FIELDS, st.columns(len(INTERACTION_FIELDS)), strict=True):
        with column:
            guess = guesses.get(field)
            sure = guess is not None and not guess.rivals
            picked = _column(FIELDS[field], source, guess.column if guess and sure else None, f"column.{field}", sure)
            if guess and guess.rivals:
                st.caption(f"Could be: {as_text(', '.join(guess.rivals), 120)}")
            if guess and picked == guess.column:
                st.caption("Guessed: " + as_text(guess.reason, 120))
        if picked:
            chosen[field] = picked
    return chosen


def of_items(source: Source, interactions: Source, item: str | None) -> dict[str, str]:
    st.markdown("**Columns of the items**")
    likely_item = item_column(source, interactions, item)
    guesses = {"item_id": likely_item, "title": title_column(source, likely_item)}
    chosen: dict[str, str] = {}
    for (field, label), column in zip((("item_id", "Item ID"), ("title", "Title")), st.columns(5)[:2], strict=True):
        with column:
            picked = _column(label, source, guesses[field], f"items.{field}", guesses[field] is not None)
        if picked:
            chosen[field] = picked
    if "item_id" in chosen:
        chosen |= reading.attributes(source, chosen)
    return chosen


def of_users(source: Source) -> dict[str, str]:
    st.markdown("**Columns of the users**")
    guess = source.interaction_guess.get("user_id")
    with st.columns(5)[0]:
        picked = _column("User ID", source, guess.column if guess else None, "users.user_id", guess is not None)
    return {"user_id": picked} if picked else {}


def _column(label: str, source: Source, guess: str | None, key: str, sure: bool) -> str | None:
    options = list(source.columns) if sure else [NONE, *source.columns]
    index = options.index(guess) if guess in options else 0
    picked = st.selectbox(label, options, index, key=f"{key}.{source.name}", bind="query-params")
    return None if picked == NONE else picked
