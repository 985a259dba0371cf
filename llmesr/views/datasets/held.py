"""What a file holds and which of its columns is what: guessed, with a preview, and to be corrected."""

from __future__ import annotations

import streamlit as st

from llmesr.data.columns import INTERACTION_FIELDS, hardly_repeats
from llmesr.data.sources import Source
from llmesr.views.datasets import reading
from llmesr.views.datasets.roles import interaction_guesses, is_sure, item_column, title_column
from llmesr.views.shared import exhibits
from llmesr.views.shared.controls import FIELDS, NONE
from llmesr.views.shared.words import as_text

ROLES = {"interactions": "Interactions", "items": "Items", "users": "Users", "ignore": "Ignore"}
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


def of_interactions(source: Source, others: list[Source]) -> dict[str, str]:
    st.markdown("**Columns of the interactions**")
    guesses = interaction_guesses(source, others)
    chosen: dict[str, str] = {}
    for field, column in zip(INTERACTION_FIELDS, st.columns(len(INTERACTION_FIELDS)), strict=True):
        with column:
            guess = guesses.get(field)
            sure = is_sure(guess)
            likely = guess.column if guess and sure else None
            needed = sure and field in ("user_id", "item_id")
            picked = _column(FIELDS[field], source, likely, f"column.{field}", needed)
            if guess and sure and picked == guess.column:
                st.caption("Guessed: " + as_text(guess.reason, 120))
            elif guess and not sure:
                st.caption(f"Could be: {as_text(', '.join(guess.rivals or (guess.column,)), 120)}")
        if picked:
            chosen[field] = picked
        elif guess and (sure or guess.rivals) and field in INTERACTION_FIELDS[2:]:
            chosen[field] = ""  # none, though a column would be taken unasked
    if "user_id" in chosen and hardly_repeats(source.sample[chosen["user_id"]]):
        rows, user = len(source.sample), as_text(chosen["user_id"])
        st.warning(
            f"Nearly every value of {user} stands once in the first {rows:,} rows. If that goes on, no user has a "
            "history; is it an order number?",
            icon=":material/warning:",
        )
    return chosen


def unfit(columns: dict[str, str]) -> str:
    """What is to be chosen before an import can begin; "" for nothing."""
    missing = [FIELDS[f] for f in ("user_id", "item_id") if f not in columns]
    if missing:
        return f"Choose the column for: {', '.join(missing)}."
    if columns["user_id"] == columns["item_id"]:
        return f"User and Item are both {as_text(columns['user_id'])}; choose another column for one of them."
    return ""


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
    likely = guess.column if guess and is_sure(guess) else None
    with st.columns(5)[0]:
        picked = _column("User ID", source, likely, "users.user_id", likely is not None)
    return {"user_id": picked} if picked else {}


def _column(label: str, source: Source, guess: str | None, key: str, needed: bool) -> str | None:
    options = list(source.columns) if needed else [NONE, *source.columns]
    index = options.index(guess) if guess in options else 0
    picked = st.selectbox(label, options, index, key=f"{key}.{source.name}", bind="query-params")
    return None if picked == NONE else picked
