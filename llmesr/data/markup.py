"""Text out of web shops: without tags and entities; and what stands where a title should and is none."""

from __future__ import annotations

import html
import re

_MARKUP = re.compile(r"<!--.*?(?:-->|$)|</?[a-zA-Z][^<>]*>", re.DOTALL)
NO_TITLE = frozenset((
    "n/a", "#n/a", "n.a.", "k.a.", "k. a.", "null", "none", "nan", "--", "---", "?", "unknown", "unbekannt", "nieznany",
    "inconnu", "desconocido", "sconosciuto", "desconhecido", "onbekend",
))  # fmt: skip
"""Titles that say only that there is none, without case."""


def unmarked(value: str) -> str:
    """``value`` without tags and comments, and with the characters that entities stand for."""
    if "<" in value or "&" in value:
        return html.unescape(_MARKUP.sub(" ", value))
    return value


def title_of(value: str) -> str:
    """A title as people read it: on one line, without markup, and "" where it says that there is none. What is nothing
    but a tag is somebody's title."""
    readable = " ".join(unmarked(value).split()) or value
    return "" if readable.casefold() in NO_TITLE else readable
