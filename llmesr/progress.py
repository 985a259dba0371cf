"""How long work tells where it is, without knowing who is listening."""

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress("embedding items", done, total)``; ``total`` 0 means not known yet."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The listener for callers that do not care."""


PREPARING = ("searching", "coding users")
"""Stages that come before what a command is about: a tenth of the way that is left, where others have nine tenths."""


class Rising:
    """The share of a command's work that is done, from its stages one after another: it only rises."""

    def __init__(self) -> None:
        self.share = 0.0
        self._stage, self._from = "", 0.0

    def at(self, stage: str, done: int, total: int) -> float:
        """The share, now that ``done`` of ``total`` of a stage is done."""
        if stage != self._stage:
            self._stage, self._from = stage, self.share
        room = (1 - self._from) * (0.1 if stage in PREPARING else 0.9)
        within = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        self.share = max(self.share, self._from + room * within)
        return self.share
