"""Guesses for files whose column names say nothing: which describes items, which users, and by which columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from llmesr.data.columns import ACCEPTED, Guess, never_repeats
from llmesr.data.sources import Source


def likely_roles(sources: list[Source]) -> list[str]:
    """``interactions``, ``items`` or ``users`` for each file; one at least holds interactions, unless each lists items
    or users."""
    roles = [_role(s) for s in sources]
    unsure = [i for i, source in enumerate(sources) if not _is_list(source)]
    if "interactions" not in roles and unsure:
        roles[max(unsure, key=lambda i: _repeats(sources[i].sample))] = "interactions"
    return roles


def _is_list(source: Source) -> bool:
    """Whether a file lists items or users. Orders without a named user are none: they say when, and items stand again
    and again."""
    if sure_users(source):
        return True
    told, timed = sure_items(source), _sure(source.interaction_guess, "timestamp")
    column = source.item_guess["item_id"].column if told else source.columns[0]
    once = never_repeats(source.sample[column])
    return once or not timed if told else once and not timed


def _sure(guess: Mapping[str, Guess], field: str) -> bool:
    return is_sure(guess.get(field))


def is_sure(guess: Guess | None) -> bool:
    """Whether a guess may be acted on unasked."""
    return guess is not None and not guess.rivals and guess.confidence >= ACCEPTED


def interaction_guesses(source: Source, others: list[Source]) -> dict[str, Guess]:
    """The guesses for interactions; where the names do not tell the item, it is the column that holds what a list in
    another file holds."""
    guesses = dict(source.interaction_guess)
    if is_sure(guesses.get("item_id")):
        return guesses
    taken = {g.column for f, g in guesses.items() if is_sure(g)}
    for other in others:
        for column in source.columns:
            if column not in taken and _holds(source.sample[column], other.sample):
                guesses["item_id"] = Guess(column, 0.8, f"its values stand in {other.name}")
                if "user_id" in guesses and guesses["user_id"].column == column:
                    del guesses["user_id"]
                return guesses
    return guesses


def _holds(values: pd.Series, table: pd.DataFrame) -> bool:
    """Whether a column of ``table``, in which nothing stands twice, holds most of ``values`` or they most of it."""
    known = set(values) - {""}
    for column in table.columns:
        listed = set(table[column]) - {""}
        if (
            len(known) > 2
            and never_repeats(table[column])
            and len(known & listed) >= 0.5 * min(len(known), len(listed))
        ):
            return True
    return False


def sure_interactions(source: Source) -> bool:
    """Whether the column names alone tell a user and an item."""
    return all(_sure(source.interaction_guess, field) for field in ("user_id", "item_id"))


def sure_items(source: Source) -> bool:
    """Whether the column names alone tell an item, and no user."""
    return not sure_interactions(source) and "item_id" in source.item_guess


def sure_users(source: Source) -> bool:
    """Whether the column names alone tell a user, and no item."""
    guess = source.interaction_guess
    told = _sure(guess, "user_id") and not _sure(guess, "item_id") and "item_id" not in source.item_guess
    return told and len(source.columns) > 1


def _role(source: Source) -> str:
    if sure_interactions(source):
        return "interactions"
    if sure_users(source):
        return "users"
    if sure_items(source) or (len(source.columns) > 0 and never_repeats(source.sample.iloc[:, 0])):
        return "items"
    return "interactions"


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
