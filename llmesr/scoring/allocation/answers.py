"""What a chat model's answer means: an order of the candidates, whatever else it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_THOUGHT = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_LIST = re.compile(r"(?<!\d)\d++(?:[\s,;>\]\[)(.#\"']++\d++)+")
_LEADING = re.compile(r"^\W*(\d+)\b")


@dataclass(frozen=True)
class Understood:
    """``order``: places (from 0) of the candidates that an answer names, each once, the first one first.

    ``invented`` numbers are none of a candidate; ``repeated`` ones were named before.
    """

    order: list[int]
    invented: int = 0
    repeated: int = 0


def understood(answer: str, titles: Sequence[str]) -> Understood:
    """Read numbers in a list, a number at the start of each line, or the titles themselves: whatever names most."""
    text = _THOUGHT.sub("", answer)
    readings = [re.findall(r"\d+", found) for found in _LIST.findall(text)]
    readings += [[m[1] for line in text.splitlines() if (m := _LEADING.match(line))], list(_titled(text, titles))]
    return max((_read(numbers, len(titles)) for numbers in readings), key=lambda read: len(read.order))


def complete(read: Understood, count: int) -> list[int]:
    """All places from 0 to ``count``: those named, then the others as they stood."""
    return [*read.order, *(place for place in range(count) if place not in set(read.order))]


def _titled(text: str, titles: Sequence[str]) -> Iterator[str]:
    places = {title.casefold(): str(number) for number, title in reversed(list(enumerate(titles, start=1)))}
    for line in text.splitlines():
        bare = line.strip(" \t-*.\"'").casefold()
        if bare in places:
            yield places[bare]


def _read(numbers: Sequence[str], count: int) -> Understood:
    order: dict[int, None] = {}
    invented = repeated = 0
    for number in numbers:
        place = int(number) - 1 if len(number) < 7 else -1
        if not 0 <= place < count:
            invented += 1
        elif place in order:
            repeated += 1
        else:
            order[place] = None
    return Understood(list(order), invented, repeated)
