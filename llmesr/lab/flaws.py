"""Texts of a catalogue that are missing, without a title, short, or the same as another item's."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd

from llmesr.text.prompts import attribute_lists, resolve_attributes, titled

Flaw = Literal["missing", "untitled", "duplicate", "short"]
FLAWS: tuple[Flaw, ...] = get_args(Flaw)


def words_of(catalogue: pd.DataFrame, attributes: Sequence[str] | None = None) -> np.ndarray:
    """(N,) words in the attributes of each item; a title that repeats the id is none."""
    return np.array(
        [sum(len(text.split(" is ", 1)[1].split()) for text in row) for row in _lists(catalogue, attributes)]
    )


def flawed(catalogue: pd.DataFrame, attributes: Sequence[str] | None = None, *, short: float = 0.25) -> pd.DataFrame:
    """The items with a flawed text: item (1..N), item_id, title, flaw, words, same (how many others read the same).

    missing: no words at all. untitled: words, but no title, where others have one. duplicate: word for word the text of
    another item. short: at most ``short`` of the median number of words of the texts there are. An item is listed once,
    under the first of these.
    """
    lists = _lists(catalogue, attributes)
    words = words_of(catalogue, attributes)
    texts = pd.Series(["; ".join(row).casefold() for row in lists])
    same = texts.map(texts.value_counts()).to_numpy() - 1
    there = words > 0
    limit = short * float(np.median(words[there])) if there.any() else 0.0
    read = titled(catalogue)
    if "title" not in resolve_attributes(catalogue, attributes) or not read.any():
        read[:] = True  # what nobody has, or the run does not look at, is missed in no single text
    flaw = np.select([~there, ~read, same > 0, words <= limit], list(FLAWS), "")
    rows = np.flatnonzero(flaw != "")
    found = catalogue.iloc[rows]
    return pd.DataFrame(
        {
            "item": rows + 1,
            "item_id": found["item_id"].to_numpy(object),
            "title": found["title"].to_numpy(object),
            "flaw": flaw[rows],
            "words": words[rows],
            "same": np.where(there, same, 0)[rows],
        }
    )


def spoilt(
    catalogue: pd.DataFrame,
    items: np.ndarray,
    flaw: Flaw,
    *,
    words: int,
    twins: np.ndarray,
    attributes: Sequence[str] | None = None,
) -> dict[int, dict[str, str]]:
    """``items`` (S,) with their text given a ``flaw``: nothing, no title, its first ``words`` words, or the text of
    ``twins`` (S,)."""
    if flaw == "untitled":
        return {int(item): {"title": ""} for item in items}
    columns = resolve_attributes(catalogue, attributes)
    blank = dict.fromkeys(columns, "")
    if flaw == "missing":
        return {int(item): dict(blank) for item in items}
    source = items if flaw == "short" else twins
    rows = catalogue[columns].iloc[source - 1].to_dict("records")
    cut = rows if flaw == "duplicate" else [blank | _first_words(row, words) for row in rows]
    return {int(item): {str(name): text for name, text in row.items()} for item, row in zip(items, cut, strict=True)}


def _first_words(row: Mapping[Hashable, str], words: int) -> dict[str, str]:
    """The first attributes of a row, as far as ``words`` words go."""
    kept: dict[str, str] = {}
    for name, text in row.items():
        if words <= 0:
            break
        some = text.split()[:words]
        words -= len(some)
        if some:
            kept[str(name)] = " ".join(some)
    return kept


def _lists(catalogue: pd.DataFrame, attributes: Sequence[str] | None) -> list[list[str]]:
    return attribute_lists(catalogue, attributes, max_chars=None)
