"""Whether a text file can be read in bulk: one record a line, by the strictest rules, from first to last byte."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from llmesr.data.dialect import Dialect

CHUNK = 1 << 20
"""Small enough to stay in the cache: larger blocks take half as long again."""
LINE = 8_000_000
_BLANK = re.compile(rb"\n\n")  # twice as fast as ``in`` where lines are short


def is_regular(path: Path, dialect: Dialect | None) -> bool:
    """Whether a UTF-8 file has one kind of line ending, no blank lines and zero bytes, and quotes (of ``dialect``, None
    for text without quoting) that open at the beginning of a cell and close at its end in the same line."""
    if dialect is not None and (dialect.skip or dialect.spaces or dialect.escape == "\\"):
        return False
    quote = dialect.quote.encode() if dialect else b""
    delimiter = dialect.delimiter.encode() if dialect else b""
    rest, returns = b"", None
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            block, rest = block[:cut], block[cut:]
            if len(rest) > LINE:
                return False
            if not block:
                continue
            if returns is None:
                returns = b"\r" in block
            if not _lines(block, returns) or not _quotes(block, quote, delimiter):
                return False
    return b"\0" not in rest and b"\r" not in rest and _quotes(rest, quote, delimiter)


def _lines(block: bytes, returns: bool) -> bool:
    """Whether the whole lines of ``block`` all end alike, and none is blank."""
    if b"\0" in block:
        return False
    if not returns:
        return b"\r" not in block and not block.startswith(b"\n") and _BLANK.search(block) is None
    ends = block.count(b"\r\n")
    if block.count(b"\r") != ends or block.count(b"\n") != ends:
        return False
    return not block.startswith(b"\r\n") and b"\n\r\n" not in block


def _quotes(block: bytes, quote: bytes, delimiter: bytes) -> bool:
    """Whether the quotes of whole lines are all where they belong."""
    if not quote or quote not in block:
        return True
    if len(quote) != 1 or len(delimiter) != 1:
        return False
    octets = np.frombuffer(block, np.uint8)
    at = np.flatnonzero(octets == quote[0])
    if len(at) % 2:
        return False
    opening, closing = at[0::2], at[1::2]
    mark, end = quote[0], ord("\n")
    before = np.where(opening > 0, octets[opening - 1], end)
    after = np.where(closing + 1 < len(octets), octets[np.minimum(closing + 1, len(octets) - 1)], end)
    if not np.isin(before, (delimiter[0], end, mark)).all():
        return False
    if not np.isin(after, (delimiter[0], end, ord("\r"), mark)).all():
        return False
    ends = np.flatnonzero(octets == end)
    return bool((np.searchsorted(ends, opening) == np.searchsorted(ends, closing)).all())
