"""How numbers and lists are written in sentences: one minus sign, no "+0", "1 user" and "2 users"."""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "−"


def signed(value: float, digits: int | None = 3) -> str:
    """A difference: ``+0.012``, ``−0.012``; zero has no sign. ``digits`` None: as many as it needs."""
    text = f"{abs(value):g}" if digits is None else f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 user``, ``2 users``, ``1,200 queries``; ``plural`` where these endings do not do."""
    plural = plural or (f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s")
    return f"{count:,} {noun if count == 1 else plural}"


def either(count: int, one: str, many: str) -> str:
    """The sentence about one, or that about ``{}`` of them: ``1 item has no title.``, ``1,200 items have no title.``"""
    return one if count == 1 else many.format(f"{count:,}")


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def duration(seconds: float) -> str:
    """``under 1 s``, ``8 s``, ``2 min 05 s``, ``1 h 20 min``."""
    whole = round(seconds)
    if 0 < seconds < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
