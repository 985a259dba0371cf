"""Text out of web shops: without tags and entities; and what stands where a title should and is none."""

from __future__ import annotations

import html
import re

_TAGS = (
    "a|abbr|article|b|big|blockquote|br|button|center|cite|code|dd|del|div|dl|dt|em|figure|font|footer|form|h[1-6]|header|hr|"
    "i|iframe|img|input|ins|kbd|label|li|link|mark|meta|nav|o:p|ol|p|pre|q|s|script|section|small|span|strike|strong|style|"
    "sub|sup|svg|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|video|wbr"
)
"""Of HTML: another word in such brackets is one, as in "C++ <vector> in depth"."""
_MARKUP = re.compile(rf"<!--.*?(?:-->|$)|</?(?:{_TAGS})(?![\w:-])[^<>]*>", re.DOTALL | re.IGNORECASE)
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
