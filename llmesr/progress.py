"""How long work tells where it is, without knowing who is listening."""

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress("embedding items", done, total)``; ``total`` 0 means not known yet."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The listener for callers that do not care."""
