"""Which columns of an item file describe the item in words. Counts and scores of the whole data, links, vectors and ids
are left out unless a person takes them in: the first would tell of the test part, the others say nothing."""

from __future__ import annotations

import re

from llmesr.config import IngestConfig
from llmesr.data.columns import plain, resolve, words
from llmesr.data.sources import Source
from llmesr.data.times import looks_like_time

COUNTED, LINK, VECTOR, ID, OTHER = "counted or scored over the whole data", "links", "vectors", "ids", "no text"
# by name, without case and punctuation
LEFT_OUT: dict[str, str] = {
    **dict.fromkeys((
        "imurl", "imageurl", "imageurlhighres", "imagehighres", "image", "images", "imagelink", "thumbnail", "videos",
        "video", "url", "link", "href", "poster", "cover",
    ), LINK),
    **dict.fromkeys((
        "related", "alsobuy", "alsoview", "alsobought", "alsoviewed", "boughttogether", "similaritem", "similarbooks",
        "salesrank", "rank", "ratingnumber", "averagerating", "ratingscount", "numratings", "reviewcount",
        "popularity", "stars", "fit",
    ), COUNTED),
    **dict.fromkeys(("asin", "parentasin", "imdbid", "tmdbid", "index", "unnamed0", "isbn", "isbn13", "slug"), ID),
    **dict.fromkeys((
        "tech1", "tech2", "isopen", "latitude", "longitude", "postalcode", "hours", "address", "videoreleasedate",
    ), OTHER),
}  # fmt: skip
# what describes the item when it stands in the interactions themselves
INSIDE = {
    "brand", "category", "categories", "genre", "genres", "description", "author", "artist", "manufacturer",
    "department",
    "tags", "producttype", "subcategory", "class",
}  # fmt: skip
_COUNTS = {
    "count", "counts", "votes", "vote", "ratings", "rating", "reviews", "score", "scores", "avg", "average",
    "popularity", "popular", "rank", "ranking", "sales", "sold", "views", "viewed", "plays", "downloads", "likes",
    "dislikes", "favorites", "favourites", "followers", "members", "playtime", "purchases", "orders", "clicks",
    "stars", "owners", "listeners", "subscribers", "helpful", "wishlist", "bookmarks", "shares", "comments", "rated",
    "watchers", "metascore", "revenue", "turnover", "ctr", "click", "clickthrough", "conversion", "conversions", "hits",
    "installs", "trending", "bestseller", "bestsellers", "bestselling", "recommendations",
}  # fmt: skip
# what these are counted of belongs to the item from the beginning
_OWN = {
    "page", "pages", "track", "tracks", "player", "players", "episode", "episodes", "word", "words", "chapter",
    "chapters", "season", "seasons", "age", "content", "parental", "ingredient", "ingredients", "disc",
    "discs", "volume", "step", "steps",
}  # fmt: skip
_RUN_TOGETHER = re.compile(
    r"(num|n|total|avg|average|mean)(of)?(ratings?|reviews?|votes?|views?|likes?|scores?)|"
    r"(ratings?|reviews?|votes?|views?|likes?|plays?|sales?)(counts?|score|rank|average|mean)"
)
_IDS = {"id", "ids", "uuid", "guid", "isbn", "isbn13", "ean", "upc", "gtin", "barcode", "sku", "asin", "hash"}
_NUMBER = re.compile(r"-?\d+([.,]\d+)?([eE][+-]?\d+)?%?")
# 20,000 .. 50,000; 12/15; 4.5 out of 5; #3 in Books; 1.2M; 500+; yes
_AMOUNT = re.compile(
    r"[#~<>$€£]?\s*-?\d[\d.,]*\s*([kKmM%+]|stars?)?(\s*(/|of|out of|\.\.|-|–|to)\s*\d[\d.,]*\+?)?(\s+in\s.+)?|"
    r"true|false|yes|no|[yn]",
    re.IGNORECASE,
)
_LINK = re.compile(r"[\[\s\"'{]*(\w+['\"]: *['\"])?((https?:)?//|www\.)|\S+\.(jpe?g|png|gif|webp|mp4)$", re.IGNORECASE)
_CODE = re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9_\-]{8,64}|[0-9a-f]{16,64}")


def attributes_of(source: Source, config: IngestConfig, inside: bool) -> tuple[str, dict[str, str], dict[str, str]]:
    """The item id column, attribute name -> column (title first), and why a column is left out.

    ``inside`` the interactions only columns that are sure to describe the item are taken.
    ``config.item_columns`` beyond item_id and title names attributes: ``{"brand": "manufacturer"}`` takes a column in,
    ``{"brand": ""}`` leaves one out.
    """
    mapping = resolve(source.name, source.columns, source.item_guess, config.item_columns, ("item_id",))
    item_column = mapping.pop("item_id")
    chosen = {name: column for name, column in mapping.items() if name in config.item_columns or name == "title"}
    chosen = {"title": chosen["title"], **chosen} if "title" in chosen else chosen
    unwanted = {name for name, column in config.item_columns.items() if column == ""}
    left_out: dict[str, str] = {}
    for column in source.columns:
        if column == item_column or column in chosen.values() or column in source.flags or column in unwanted:
            continue
        if inside and plain(column) not in INSIDE:
            continue
        reason = why_left_out(source, column)
        if reason:
            left_out[column] = reason
            continue
        name = {"item_id": "item_name", "title": "item_name", "class": "genres"}.get(column, column)
        chosen[name] = column
    return item_column, chosen, left_out


def why_left_out(source: Source, column: str) -> str:
    """Why a column is no text about the item: by its name, its type in a RecBole file, or its values; "" if it is."""
    if plain(column) in LEFT_OUT:
        return LEFT_OUT[plain(column)]
    kind = source.types[source.columns.index(column)] if source.types else ""
    if kind == "float_seq" or kind.startswith(("FLOAT[", "DOUBLE[")):
        return VECTOR
    values = [v.strip() for v in source.sample[column].tolist() if v.strip() and v.strip() != "-"]
    return _by_values(column, values) if values else ""


def _by_values(column: str, values: list[str]) -> str:
    parts = set(words(column))
    counted = bool(parts & _COUNTS) or _RUN_TOGETHER.search(plain(column)) is not None
    if counted and not parts & _OWN and (_share(values, _AMOUNT) > 0.9 or looks_like_time(values[:50])):
        return COUNTED
    if sum(_LINK.match(v) is not None for v in values) > 0.8 * len(values):
        return LINK
    if sum(map(_is_vector, values)) > 0.9 * len(values):
        return VECTOR
    named = bool(parts & _IDS) or plain(column).endswith(("uuid", "guid", "barcode"))
    if named and sum(any(c.isdigit() for c in v) and " " not in v for v in values) > 0.8 * len(values):
        return ID
    unique = len(values) > 20 and len(set(values)) == len(values)
    return ID if unique and _share(values, _CODE) > 0.95 and not looks_like_time(values[:50]) else ""


def _share(values: list[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(v) is not None for v in values) / len(values)


def _is_vector(value: str) -> bool:
    """Whether a cell is a row of numbers, most of them fractions."""
    parts = [p for p in re.split(r"[\s,;]+", value.strip("[](){} ")) if p][:50]
    if len(parts) > 3 and len(value) >= 500:
        parts.pop()  # the sample has cut it
    return len(parts) > 3 and all(_NUMBER.fullmatch(p) for p in parts) and sum("." in p for p in parts) > len(parts) / 2
