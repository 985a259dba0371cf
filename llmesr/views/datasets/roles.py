"""Guesses for files whose column names say nothing: which describes items, which users, and by which columns."""

from __future__ import annotations

import pandas as pd

from llmesr.data.columns import ACCEPTED
from llmesr.data.sources import Source


def likely_roles(sources: list[Source]) -> list[str]:
    """``interactions``, ``items`` or ``users`` for each file; one file at least holds interactions."""
    roles = [_role(s) for s in sources]
    if "interactions" not in roles and sources:
        unsure = [i for i, s in enumerate(sources) if not sure_items(s) and not sure_users(s)] or [0]
        roles[max(unsure, key=lambda i: _repeats(sources[i].sample))] = "interactions"
    return roles


def sure_interactions(source: Source) -> bool:
    """Whether the column names alone tell a user and an item."""
    guess = source.interaction_guess
    return all(f in guess and guess[f].confidence >= ACCEPTED for f in ("user_id", "item_id"))


def sure_items(source: Source) -> bool:
    """Whether the column names alone tell an item, and no user."""
    return not sure_interactions(source) and "item_id" in source.item_guess


def sure_users(source: Source) -> bool:
    """Whether the column names alone tell a user, and no item."""
    guess = source.interaction_guess
    sure = "user_id" in guess and guess["user_id"].confidence >= ACCEPTED
    named = "item_id" in guess and guess["item_id"].confidence >= ACCEPTED
    return sure and not named and "item_id" not in source.item_guess and len(source.columns) > 1


def _role(source: Source) -> str:
    if sure_interactions(source):
        return "interactions"
    if sure_users(source):
        return "users"
    if sure_items(source) or _first_id_never_repeats(source.sample):
        return "items"
    return "interactions"


def _first_id_never_repeats(sample: pd.DataFrame) -> bool:
    """A catalogue has one row per item; in a list of choices everybody appears again."""
    return len(sample) > 1 and bool((sample.nunique() == len(sample)).iloc[0])


def _repeats(sample: pd.DataFrame) -> float:
    return float(1 - sample.nunique().iloc[0] / max(len(sample), 1)) if sample.shape[1] else 0.0


def item_column(items: Source, interactions: Source, chosen: str | None) -> str | None:
    """The column of an item file that holds the ids which the interactions' item column holds."""
    guess = items.item_guess.get("item_id")
    if guess is not None:
        return guess.column
    known = set(interactions.sample[chosen]) - {""} if chosen in interactions.columns else set()
    shared = {c: len(known & set(items.sample[c])) for c in items.columns}
    best = max(shared, key=lambda c: shared[c], default=None)
    return best if best is not None and shared[best] else None


def title_column(items: Source, id_column: str | None) -> str | None:
    """The column that reads like a title: several words, and different from item to item."""
    guess = items.item_guess.get("title")
    if guess is not None:
        return guess.column
    for column in items.columns:
        values = items.sample[column]
        filled = values[values != ""]
        if column == id_column or filled.empty:
            continue
        if filled.nunique() >= 0.8 * len(filled) and filled.str.contains(" ").mean() > 0.5:
            return str(column)
    return None
