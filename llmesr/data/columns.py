"""Which column is the user, the item, the time: guessed from names, then from values, with a stated confidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from llmesr.data import abroad
from llmesr.data.times import DAY, guess, looks_like_time, read
from llmesr.errors import UserError

ACCEPTED = 0.5
"""Guesses below this are only proposed (to the upload page), never used unasked."""

INTERACTION_FIELDS = ("user_id", "item_id", "timestamp", "weight", "review")

# names without case and punctuation, best first
NAMES: dict[str, tuple[str, ...]] = {
    "user_id": (
        "userid", "user", "uid", "username", "userno", "userkey", "reviewerid", "customerid", "customer", "visitorid",
        "memberid", "accountid", "clientid", "profileid", "playerid", "buyerid", "useridx", "uididx", "profilename",
        "reviewername", "nickname", "householdkey", "sessionid", "session",
    ),
    "item_id": (
        "itemid", "item", "parentasin", "asin", "iid", "productid", "product", "movieid", "businessid", "bookid",
        "trackid", "artistid", "songid", "articleid", "newsid", "videoid", "gameid", "recipeid", "goodsid", "sku",
        "isbn", "stockcode", "itemidx", "gmapid", "animeid", "appid", "showid", "itemno", "itemcode", "productcode",
    ),
    "timestamp": (
        "timestamp", "unixreviewtime", "unixtime", "time", "ts", "sorttimestamp", "eventtime", "datetime", "date",
        "createdat", "reviewtime", "reviewdate", "purchasedate", "orderdate", "invoicedate", "tdat", "visitedat",
    ),
    "weight": ("rating", "overall", "stars", "weight", "score", "plays", "playcount", "quantity"),
    "review": ("reviewtext", "reviewbody", "review", "reviewcontent", "text", "comment"),
}  # fmt: skip
# names whose one meaning is when a choice was made, whatever other times stand beside
SURE_TIMES = {"timestamp", "unixreviewtime", "unixtime", "ts", "eventtime", "sorttimestamp"}
# words of a time that may be any but that of the choice
OTHER_TIMES = {
    "release", "released", "publish", "published", "publication", "birth", "born", "birthday", "join", "joined",
    "register", "registered", "registration", "signup", "since", "updated", "update", "modified", "edited", "delivery",
    "delivered", "shipped", "shipping", "estimated", "due", "expires", "expiry", "end", "ended", "last", "launch",
    *abroad.names(abroad.OTHER_TIMES),
}  # fmt: skip
# words of a column that tells something about a user or an item, and is not the id
ABOUT = {
    "rating", "ratings", "score", "scores", "count", "counts", "num", "total", "sum", "avg", "average", "mean", "min",
    "max", "age", "gender", "sex", "vote", "votes", "review", "reviews", "price", "level", "type", "status", "country",
    "city", "language", "lang", "agent", "segment", "group", "weight", "rank", "days", "time", "date", "timestamp",
    "at", "ts", "title", "name", "category", "class", "brand", "text", "tags", "url", "image", "desc", "description",
}  # fmt: skip
AVERAGES = {"avg", "average", "mean", "count", "counts", "num", "total", "n", "number"}
ORDER = abroad.numbered(abroad.ORDERS)
NUMBERED = {field: abroad.numbered(table) for field, table in abroad.NOUNS.items()}
MAX_TIMES = 200
APART = "the day and the time of day stand apart"
TITLE_NAMES = (
    "title", "itemtitle", "producttitle", "movietitle", "booktitle", "name", "itemname", "productname",
    "productdisplayname", "trackname", "songname", "artistname", "headline",
)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A column proposed for a field, how sure we are (0..1), and why.

    ``rivals``: the columns among which only a person can tell. Then nothing is taken unasked.
    """

    column: str
    confidence: float
    reason: str
    rivals: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A column name without case and punctuation: ``"User_ID"`` -> ``"userid"``."""
    return re.sub(r"[^a-z0-9]", "", abroad.folded(name).lower())


def words(name: str) -> list[str]:
    """The words of a column name: ``"user_no"``, ``"Event Time"``, ``"userId"``."""
    return [plain(w) for w in re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])", abroad.folded(name)) if w]


def _exact(columns: Iterable[str], names: tuple[str, ...]) -> Guess | None:
    found = {plain(c): c for c in reversed(list(columns))}
    return next((Guess(found[n], 0.95, f"the name {found[n]!r} says so") for n in names if n in found), None)


def _like(columns: list[str], names: tuple[str, ...]) -> Guess | None:
    """A column with one of ``names`` in its own: short ones ("ts", "user") only as a whole word."""
    for name in names:
        found = [c for c in columns if name in words(c) or (len(name) > 5 and name in plain(c))]
        if len(found) == 1:
            return Guess(found[0], 0.7, f"the name {found[0]!r} contains {name!r}")
        if found:
            return Guess(found[0], 0.45, f"several names contain {name!r}", tuple(found))
    return None


def guess_interactions(columns: list[str], sample: pd.DataFrame) -> dict[str, Guess]:
    """Guess the interaction fields of a table of strings. Fields nothing fits are left out."""
    found: dict[str, Guess] = {}
    for field in INTERACTION_FIELDS:
        free = [c for c in columns if c not in {g.column for g in found.values()}]
        if field == "timestamp":
            guessed = _guess_time(free, sample)
        else:
            guessed = _exact(free, NAMES[field]) or _like(_eligible(free, field, sample), NAMES[field])
            guessed = guessed or _abroad(field, free, sample)
        if guessed is not None:
            found[field] = guessed
    if "review" in found and not _is_prose(sample[found["review"].column]):
        del found["review"]
    taken = {g.column for g in found.values()}
    missing = [f for f in ("user_id", "item_id") if f not in found]
    ids = [c for c in columns if c not in taken and _is_id(sample[c]) and not ORDER.fullmatch(plain(c))]
    if missing and len(ids) >= len(missing):
        # two unnamed id columns: users usually come first, and come again; too weak to act on unasked
        ids.sort(key=lambda c: hardly_repeats(sample[c]))
        for field, column in zip(missing, ids, strict=False):
            found[field] = Guess(column, 0.4 if len(missing) > 1 else 0.45, "its values look like ids")
    return found


def _abroad(field: str, columns: list[str], sample: pd.DataFrame) -> Guess | None:
    """A name of another language, where the values agree."""
    if field in abroad.NOUNS:
        ids = [c for c in columns if _is_id(sample[c])]
        return _numbered(field, ids) or _named(field, ids)
    fitting = columns if field == "review" else [c for c in columns if _is_number(sample[c])]
    return _exact(fitting, abroad.names(abroad.PLAIN[field]))


def _numbered(field: str, columns: list[str]) -> Guess | None:
    """A column that numbers users or items in another language: Kundennummer."""
    found = next((c for c in columns if NUMBERED[field].fullmatch(plain(c))), None)
    return Guess(found, 0.95, f"the name {found!r} says so") if found else None


def _named(field: str, columns: list[str]) -> Guess | None:
    """A column called as a user or an item is, without a number: Kunde. It may hold names as well."""
    nouns = {n for n in abroad.names(abroad.NOUNS[field]) if len(n) >= abroad.ALONE}
    found = [c for c in columns if plain(c) in nouns]
    return Guess(found[0], 0.7, f"the name {found[0]!r} says so") if len(found) == 1 else None


def never_repeats(values: pd.Series) -> bool:
    """Whether each value stands once, as those of an order number do, or of the ids in a list of items."""
    filled = values[values != ""]
    return len(filled) > 1 and filled.is_unique


def hardly_repeats(values: pd.Series) -> bool:
    """Whether nine in ten values stand once: an order number, of which a few rows were written twice."""
    filled = values[values != ""]
    return len(filled) > 1 and filled.nunique() >= 0.9 * len(filled)


def _eligible(columns: list[str], field: str, sample: pd.DataFrame) -> list[str]:
    """Columns that may be ``field`` if a part of their name says so: no count of something for an id."""
    if field in ("user_id", "item_id"):
        return [c for c in columns if not set(words(c)) & ABOUT and _is_id(sample[c])]
    return [c for c in columns if field != "weight" or not set(words(c)) & AVERAGES]


def _guess_time(columns: list[str], sample: pd.DataFrame) -> Guess | None:
    """When it happened. Of several columns of times that do not name the same days only a person can tell."""
    exact = _exact(columns, NAMES["timestamp"])
    times = [c for c in columns[:MAX_TIMES] if looks_like_time(sample[c].tolist())]
    own = [c for c in times if not set(words(c)) & OTHER_TIMES]
    if exact is None and not own:
        reason = "it may not be when it happened"
        return Guess(times[0], 0.3, reason, tuple(times)) if times else _like(columns, ("timestamp",))
    if exact and own and exact.column not in times and _of_day(sample[exact.column]):
        return Guess(own[0], 0.45, APART, (own[0], exact.column))
    first = exact.column if exact else own[0]
    others = [c for c in own if c != first]
    apart = [c for c in others if not _same_days(sample[first], sample[c])]
    if apart and plain(first) not in SURE_TIMES:
        rivals = (first, *apart, *(c for c in times if c not in (first, *own)))
        return Guess(first, 0.45, "several columns hold times", rivals)
    near = [c for c in others if c not in apart]
    finest = max([first, *near], key=lambda c: sample[c].nunique())
    if exact is not None and finest == first:
        return exact
    return Guess(finest, 0.7, "its values are times" if len(times) == 1 else "the finest of its times")


def _of_day(values: pd.Series) -> bool:
    """Whether these are times of day (18:30, 6:30 PM) without a date."""
    filled = values[values != ""].head(200)
    clock = r"\s*\d{1,2}:\d\d(:\d\d)?([.,]\d+)?( ?[AaPp]\.?[Mm]\.?)?\s*"
    return len(filled) > 0 and bool(filled.str.fullmatch(clock).all())


def _same_days(one: pd.Series, other: pd.Series) -> bool:
    """Whether two columns of times name the same days, give or take a time zone."""
    moments = []
    for column in (one, other):
        values = column.head(200).tolist()
        form = guess([v for v in values if v.strip()])
        if form is None or form.kind == "order":
            return False
        moments.append(read(form, values))
    pairs = [(a, b) for a, b in zip(*moments, strict=True) if a is not None and b is not None]
    return bool(pairs) and sum(abs(a - b) <= DAY for a, b in pairs) >= 0.95 * len(pairs)


def guess_items(columns: list[str]) -> dict[str, Guess]:
    """Guess item_id and title of an item table."""
    found: dict[str, Guess] = {}
    item = _exact(columns, NAMES["item_id"]) or _like(
        [c for c in columns if not set(words(c)) & ABOUT], NAMES["item_id"]
    )
    if item is None and any(plain(c) == "id" for c in columns):
        item = Guess(next(c for c in columns if plain(c) == "id"), 0.6, "the only id")
    item = item or _numbered("item_id", columns)
    if item is not None:
        found["item_id"] = item
    free = [c for c in columns if item is None or c != item.column]
    title = _exact(free, (*TITLE_NAMES, *abroad.names(abroad.PLAIN["title"]))) or _like(free, TITLE_NAMES)
    if title is not None:
        found["title"] = Guess(title.column, max(title.confidence, 0.6), title.reason)
    return found


def resolve(
    file: str, columns: list[str], guesses: Mapping[str, Guess], given: Mapping[str, str], required: tuple[str, ...]
) -> dict[str, str]:
    """Field -> column: what the user gave ("" for none), else the guesses that are sure enough.

    UserError when a given column does not exist or a required field has none.
    """
    mapping = {f: g.column for f, g in guesses.items() if g.confidence >= ACCEPTED and g.column not in given.values()}
    option = {"item_id": "--item-column", "user_id": "--user-column"}.get("".join(required), "--column")
    listing = ", ".join(repr(c) for c in columns[:12]) + (", ..." if len(columns) > 12 else "")
    for field, column in given.items():
        if column == "":
            mapping.pop(field, None)
            continue
        if column not in columns:
            raise UserError(f"{file} has no column {column!r} for {field}; it has {listing}.")
        mapping[field] = column
    for field, unsure in guesses.items():
        if unsure.rivals and field not in given:
            _ask(file, field, unsure, option)
    for field in required:
        if field not in mapping:
            raise UserError(
                f"Cannot tell which column of {file} is the {field}; it has {listing}. "
                f"Say so with {option} {field}=NAME."
            )
    return mapping


def _ask(file: str, field: str, unsure: Guess, option: str) -> None:
    rivals = unsure.rivals
    if unsure.reason == APART:
        day, hour = rivals
        raise UserError(
            f"{file} has the day in {day!r} and the time of day in {hour!r}. Put them into one column, or say {option} "
            f"{field}={day} to take the order of the file inside a day."
        )
    names = ", ".join(map(repr, rivals))
    none = f", or {option} timestamp= to take the order of the file" if field == "timestamp" else ""
    what = (
        f"{file} has several columns that could be the {field}: {names}."
        if len(rivals) > 1
        else f"The only times of {file} are in {names}, which may not be when it happened."
    )
    raise UserError(f"{what} Say which with {option} {field}=NAME{none}.")


def _is_prose(values: pd.Series) -> bool:
    filled = values[values != ""]
    return len(filled) > 0 and filled.str.len().mean() > 15 and filled.str.contains(" ", regex=False).mean() > 0.5


def _is_number(values: pd.Series) -> bool:
    filled = values[values != ""]
    return len(filled) > 0 and filled.str.fullmatch(r"\s*-?\d+([.,]\d+)?\s*").mean() > 0.9


def _is_id(values: pd.Series) -> bool:
    filled = values[values != ""]
    if len(filled) == 0 or len(filled) < 0.5 * len(values):
        return False
    few_numbers = filled.nunique() <= 11 and filled.str.fullmatch(r"-?\d+(\.\d+)?").all() and len(filled) > 30
    return not few_numbers and filled.str.len().max() <= 64 and not _is_prose(values)
