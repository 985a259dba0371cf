"""Which column is the user, the item, the time: guessed from names, then from values, with a stated confidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from llmesr.data.times import looks_like_time
from llmesr.errors import UserError

ACCEPTED = 0.5
"""Guesses below this are only proposed (to the upload page), never used unasked."""

INTERACTION_FIELDS = ("user_id", "item_id", "timestamp", "weight", "review")

# names without case and punctuation, best first
NAMES: dict[str, tuple[str, ...]] = {
    "user_id": (
        "userid", "user", "uid", "reviewerid", "customerid", "customer", "visitorid", "memberid", "accountid",
        "clientid", "profileid", "buyerid", "useridx", "uididx", "sessionid", "session",
    ),
    "item_id": (
        "itemid", "item", "parentasin", "asin", "iid", "productid", "product", "movieid", "businessid", "bookid",
        "trackid", "artistid", "songid", "articleid", "newsid", "videoid", "gameid", "recipeid", "goodsid", "sku",
        "isbn", "stockcode", "itemidx", "gmapid",
    ),
    "timestamp": (
        "timestamp", "unixreviewtime", "unixtime", "time", "ts", "sorttimestamp", "eventtime", "datetime", "date",
        "createdat", "reviewtime", "reviewdate", "purchasedate", "orderdate", "invoicedate", "tdat", "visitedat",
    ),
    "weight": ("rating", "overall", "stars", "weight", "score", "plays", "playcount", "quantity"),
    "review": ("reviewtext", "reviewbody", "review", "reviewcontent", "text", "comment"),
}  # fmt: skip
TITLE_NAMES = (
    "title", "itemtitle", "producttitle", "movietitle", "booktitle", "name", "itemname", "productname",
    "productdisplayname", "trackname", "songname", "artistname", "headline",
)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A column proposed for a field, how sure we are (0..1), and why."""

    column: str
    confidence: float
    reason: str


def plain(name: str) -> str:
    """A column name without case and punctuation: ``"User_ID"`` -> ``"userid"``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_name(columns: list[str], names: tuple[str, ...], taken: set[str]) -> Guess | None:
    free = [c for c in columns if c not in taken]
    for name in names:
        for column in free:
            if plain(column) == name:
                return Guess(column, 0.95, f"the name {column!r} says so")
    for name in names:
        # short names ("ts", "user") only as a whole word of a longer one: "user_no", "Event Time"
        for column in free:
            words = [plain(w) for w in re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])", column) if w]
            if name in words or (len(name) > 5 and name in plain(column)):
                return Guess(column, 0.7, f"the name {column!r} contains {name!r}")
    return None


def guess_interactions(columns: list[str], sample: pd.DataFrame) -> dict[str, Guess]:
    """Guess the interaction fields of a table of strings. Fields nothing fits are left out."""
    found: dict[str, Guess] = {}
    for field in INTERACTION_FIELDS:
        guess = _by_name(columns, NAMES[field], {g.column for g in found.values()})
        if guess is not None:
            found[field] = guess
    if "review" in found and not _is_prose(sample[found["review"].column]):
        del found["review"]
    taken = {g.column for g in found.values()}
    if "timestamp" not in found:
        times = [c for c in columns if c not in taken and looks_like_time(sample[c].tolist())]
        if len(times) == 1:
            found["timestamp"] = Guess(times[0], 0.6, "its values look like times")
            taken.add(times[0])
    missing = [f for f in ("user_id", "item_id") if f not in found]
    ids = [c for c in columns if c not in taken and _is_id(sample[c])]
    if missing and len(ids) >= len(missing):
        # two unnamed id columns: users usually come first; too weak to act on unasked
        for field, column in zip(missing, ids, strict=False):
            found[field] = Guess(column, 0.4 if len(missing) > 1 else 0.45, "its values look like ids")
    return found


def guess_items(columns: list[str]) -> dict[str, Guess]:
    """Guess item_id and title of an item table."""
    found: dict[str, Guess] = {}
    item = _by_name(columns, NAMES["item_id"], set())
    if item is None and any(plain(c) == "id" for c in columns):
        item = Guess(next(c for c in columns if plain(c) == "id"), 0.6, "the only id")
    if item is not None:
        found["item_id"] = item
    title = _by_name(columns, TITLE_NAMES, {g.column for g in found.values()})
    if title is not None:
        found["title"] = title
    return found


def resolve(
    file: str, columns: list[str], guesses: Mapping[str, Guess], given: Mapping[str, str], required: tuple[str, ...]
) -> dict[str, str]:
    """Field -> column: what the user gave ("" for none), else the guesses that are sure enough.

    UserError when a given column does not exist or a required field has none.
    """
    mapping = {f: g.column for f, g in guesses.items() if g.confidence >= ACCEPTED and g.column not in given.values()}
    listing = ", ".join(repr(c) for c in columns[:12]) + (", ..." if len(columns) > 12 else "")
    for field, column in given.items():
        if column == "":
            mapping.pop(field, None)
            continue
        if column not in columns:
            raise UserError(f"{file} has no column {column!r} for {field}; it has {listing}.")
        mapping[field] = column
    for field in required:
        if field not in mapping:
            option = "--item-column" if required == ("item_id",) else "--column"
            raise UserError(
                f"Cannot tell which column of {file} is the {field}; it has {listing}. "
                f"Say so with {option} {field}=NAME."
            )
    return mapping


def _is_prose(values: pd.Series) -> bool:
    filled = values[values != ""]
    return len(filled) > 0 and filled.str.len().mean() > 15 and filled.str.contains(" ", regex=False).mean() > 0.5


def _is_id(values: pd.Series) -> bool:
    filled = values[values != ""]
    if len(filled) == 0 or len(filled) < 0.5 * len(values):
        return False
    few_numbers = filled.nunique() <= 11 and filled.str.fullmatch(r"-?\d+(\.\d+)?").all() and len(filled) > 30
    return not few_numbers and filled.str.len().max() <= 64 and not _is_prose(values)
