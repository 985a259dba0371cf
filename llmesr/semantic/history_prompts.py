"""Users as texts: prompts of the titles of their histories, as long as an embedder reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmesr.errors import UserError
from llmesr.semantic.embedders.contract import Embedder
from llmesr.text.prompts import USER_CHARACTERS, clean, titled, user_prompt

_AT_ONCE = 4096
"""Users whose prompts are measured together."""
_SURE = 0.75
"""A prompt that takes so much of its room by the sum of its parts fits."""


class HistoryPrompts:
    """Prompts for ``embedder`` of histories of the items of ``catalogue``.

    An embedder cuts what is too long at its end, where the newest titles are. So titles are left out from the oldest
    on until the whole prompt fits; of a single one that does not, the end is cut. Items without a title are left out.
    """

    def __init__(self, catalogue: pd.DataFrame, embedder: Embedder) -> None:
        """UserError for an embedder that has no room for a title beside the words around it."""
        self.embedder = embedder
        titles = catalogue["title"].tolist()
        self.titles = [clean(t) if has else "" for t, has in zip(titles, titled(catalogue), strict=True)]
        self.said = np.array([bool(t) for t in self.titles], bool)
        """(N,) whether an item is one that a prompt can name."""
        parts = [f"; {title}" for title in self.titles]
        self._characters = np.array([len(part) for part in parts], np.int64)
        self._reach = embedder.reach
        if self._reach is None:
            return
        nothing, around, separator, *lengths = embedder.lengths(["", user_prompt([""]), "; ", *parts]).tolist()
        self._lengths = np.array(lengths, np.int64) - nothing
        self._room = self._reach - around + separator - nothing  # the first title has no separator before it
        if around >= self._reach:
            raise UserError(
                f"{embedder.name!r} reads {self._reach} {embedder.unit} of a text and the words around the titles of a "
                f"history take {around}: raise max_tokens, or use users=mean."
            )

    def of(self, histories: Sequence[np.ndarray]) -> list[str]:
        """A prompt for each history, rows of the catalogue from 0, oldest first; "" for one without any title."""
        made: list[str] = []
        for start in range(0, len(histories), _AT_ONCE):
            made += self._prompts([self._newest(own) for own in histories[start : start + _AT_ONCE]])
        return made

    def _newest(self, history: np.ndarray) -> np.ndarray:
        """The newest items whose titles fit by the sum of their lengths, one at least where there is one."""
        own = history[self.said[history]]
        count = _fit(self._characters[own], USER_CHARACTERS + 2)
        if self._reach is not None:
            count = min(count, _fit(self._lengths[own], self._room))
        kept: np.ndarray = own[max(len(own) - max(count, 1), 0) :]
        return kept

    def _prompts(self, items: list[np.ndarray]) -> list[str]:
        """A prompt for each row of items. Parts may have fewer tokens than their whole, so what is long by its parts is
        measured."""
        rows = [[self.titles[item] for item in own] for own in items]
        made = [user_prompt(titles) for titles in rows]
        if self._reach is None:
            return made
        left = [row for row, own in enumerate(items) if self._lengths[own].sum() > _SURE * self._room]
        while left:
            lengths = self.embedder.lengths([made[row] for row in left])
            left = [row for row, length in zip(left, lengths, strict=True) if length > self._reach]
            for row in left:
                rows[row] = _shorter(rows[row])
                made[row] = user_prompt(rows[row])
        return made


def _fit(lengths: np.ndarray, room: int) -> int:
    """How many of the last of ``lengths`` are ``room`` at most together."""
    return int(np.searchsorted(np.cumsum(lengths[::-1]), room, side="right"))


def _shorter(titles: list[str]) -> list[str]:
    """Without the oldest title; the only one without its last quarter."""
    return titles[1:] if len(titles) > 1 else [titles[0][: len(titles[0]) * 3 // 4]]
