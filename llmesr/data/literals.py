"""Lines that are Python dictionaries (the Amazon dumps of 2014) as JSON lines."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import orjson

MAX_LITERAL = 1 << 20
_TEXT = r"'[^'\"\\\x00-\x1f]*+'"
_VALUE = rf"(?:{_TEXT}|0|-?[1-9][0-9]{{0,17}})"
_SIMPLE = re.compile(rf"\{{{_TEXT}: ?{_VALUE}(?:, ?{_TEXT}: ?{_VALUE})*+\}}")
"""A dictionary of plain text and whole numbers, which is JSON but for its quotes."""


def literals_to_json(path: Path, target: Path) -> Path:
    """Rewrite a file of such lines to ``target``.

    Each line goes through ``ast.literal_eval``, which builds values and runs nothing. A line that
    is not a literal stays as it is, so that the reader rejects it under its own number.
    """
    with open(path, encoding="utf-8", newline="\n") as lines, open(target, "w", encoding="utf-8") as out:
        for line in lines:
            out.write(literal_to_json(line.rstrip("\r\n")) + "\n")
    return target


def literal_to_json(line: str) -> str:
    """One Python dictionary as JSON, or the line itself when it is none."""
    if len(line) > MAX_LITERAL:
        return line[:500]
    if _SIMPLE.fullmatch(line):  # many times as fast
        text = line.replace("'", '"')
        if len(orjson.loads(text)) == text.count('":'):  # no name twice
            return text
    try:
        return json.dumps(ast.literal_eval(line), ensure_ascii=False)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return line
