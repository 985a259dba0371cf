"""The content term: how close a candidate's text is to the closest item of the history."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llmesr.data.unit_rows import unit_rows
from llmesr.ids import PAD
from llmesr.linear.closest import closest, each
from llmesr.scoring.nearest_texts import NearestTexts
from llmesr.scoring.without import Without

BUDGET = 2**29
"""Bytes that rows of item-to-item cosines may take."""
FEWEST = 64
"""Rows kept at the least, whatever the budget."""
_FEW = 16
LISTED = 128
"""Nearest items kept of an item where not all its cosines can be."""


class ContentTerm:
    """max over the history of cos(text of history item, text of candidate), for the whole catalogue.

    The cosines of an item with all others are made when its first user comes and kept for the next
    ones, least recently used first out: histories are made of popular items. May be shared by threads.
    """

    def __init__(
        self,
        text: np.ndarray | Tensor,
        device: torch.device | str = "cpu",
        budget: int = BUDGET,
        *,
        unit: bool = False,
        beside: Path | None = None,
        space: str = "",
    ) -> None:
        """``text`` (N + 1, E) item vectors, row 0 padding; a zero row (no text) has cosine 0 with all. ``unit``: all
        others are of unit length already. ``beside`` and ``space``: see :class:`NearestTexts`."""
        text = torch.as_tensor(text, dtype=torch.float32, device=device)
        self.text = text if unit else unit_rows(text)  # (N + 1, E)
        size = len(self.text)
        self._capacity = min(size, max(FEWEST, budget // (4 * size)))
        self._rows: Tensor | None = None  # (capacity, N + 1)
        self._slot = np.full(size, -1)  # item -> row of the table
        self._item = np.full(self._capacity, -1)  # row of the table -> item
        self._used = np.zeros(self._capacity, np.int64)
        self._clock = 0
        self._lock = threading.Lock()
        self._nearest = NearestTexts(self.text, min(size, LISTED, max(_FEW, budget // (8 * size))), beside, space)
        self._lists = False

    @property
    def nbytes(self) -> int:
        """What the vectors and the rows take at the most."""
        return self.text.nbytes + self._capacity * len(self.text) * 4 + self._nearest.nbytes

    @property
    def keeps_all(self) -> bool:
        """Whether the rows of all items may be kept."""
        return self._capacity == len(self.text)

    def listed(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is known of the scores of (B, L) histories without those of the whole catalogue.

        A bound (B,), and triples of a row of ``sequences``, an item and a cosine, (P,) each: a score is at most the
        greatest of the bound of its row and of the cosines that its row and item come with.
        """
        items = torch.unique(sequences).cpu().numpy()
        self.expect_lists()
        with self._lock:
            self._nearest.hold(items)
            return self._nearest.of(sequences)

    def expect_lists(self) -> None:
        """Have :meth:`prepare_next` prepare for :meth:`listed`."""
        self._lists = not self.keeps_all

    @property
    def shared(self) -> bool:
        """Whether other processes find what this one prepares."""
        return self._nearest.rows.shared

    def prepare(self, items: np.ndarray) -> int:
        """Work out beforehand what :meth:`listed` needs of ``items``; of how many it was not there."""
        with self._lock:
            return self._nearest.hold(items)

    def prepare_next(self, items: np.ndarray) -> bool:
        """The same of some of ``items``, the first ones first; whether there was anything left to do."""
        with self._lock:
            return self._lists and self._nearest.hold_next(items)

    @torch.inference_mode()
    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """(B, L) right-padded histories -> (B, N + 1); padding is ignored, an empty history gives 0."""
        longest = int((sequences != PAD).sum(1).max()) if len(sequences) else 0
        if longest == 0:
            return torch.zeros(len(sequences), len(self.text), device=self.text.device)
        used = sequences[:, :longest]
        items = torch.unique(used).cpu().numpy()
        items = items[items != PAD]
        if len(items) > self._capacity:
            return self._in_halves(used)
        with self._lock:
            rows = self._hold(items)
            index = torch.from_numpy(self._slot).to(used.device)[used]
            return _greatest(rows, index, used != PAD)

    def _in_halves(self, used: Tensor) -> Tensor:
        """More different items than rows can be kept: fewer users at a time, then fewer items of one user."""
        if len(used) > 1:
            half = len(used) // 2
            return torch.cat([self.score(used[:half]), self.score(used[half:])])
        half = used.shape[1] // 2
        return torch.maximum(self.score(used[:, :half]), self.score(used[:, half:]))

    def _hold(self, items: np.ndarray) -> Tensor:
        """The table of rows (capacity, N + 1), in which those of ``items`` are now present."""
        if self._rows is None:
            self._rows = torch.empty(self._capacity, len(self.text), device=self.text.device)
        self._clock += 1
        present = items[self._slot[items] >= 0]
        self._used[self._slot[present]] = self._clock
        missing = items[self._slot[items] < 0]
        if len(missing):
            free = np.argpartition(self._used, len(missing) - 1)[: len(missing)]
            gone = self._item[free]
            self._slot[gone[gone >= 0]] = -1
            self._item[free], self._slot[missing], self._used[free] = missing, free, self._clock
            new = self.text[torch.from_numpy(missing).to(self.text.device)]
            # Which way round is faster depends on how many: few rows gain up to a half, many lose as much.
            cosines = (self.text @ new.T).T if len(new) < _FEW else new @ self.text.T
            self._rows[torch.from_numpy(free).to(self.text.device)] = cosines
        return self._rows

    @torch.inference_mode()
    def of(self, sequences: Tensor, items: Tensor, users: Tensor | None = None) -> Tensor:
        """The same for few items: (B, L) and (B, C), or (C,) for all users the same, -> (B, C)."""
        best = closest(self.text, sequences, items)
        return torch.where(torch.isinf(best), 0.0, best)

    @torch.inference_mode()
    def without(self, rows: Without, items: Tensor, drawn: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The same for all ``rows``, where the next closest item counts once the closest is left out: of ``items``
        (H, C) of every history, (R, C), and the sum over ``drawn`` (S,) by ``weights`` (S,): (R,)."""
        most, change = self._without(rows, items)
        part = most.index_select(0, rows.owner) + change[rows.owner, 1 + rows.left]
        most, change = self._without(rows, drawn)
        return part, (most @ weights)[rows.owner] + (change @ weights)[rows.owner, 1 + rows.left]

    def _without(self, rows: Without, items: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``items`` (H, C), or (C,) for all the same, the term after whole histories (H, C), and by how much it
        changes (H, 1 + D, C) without nothing, then without each of the D different items: not but for the closest."""
        cosines = each(self.text, rows.different, items)  # (H, D, C)
        most, closest_one = cosines.max(1, keepdim=True)  # (H, 1, C)
        second = cosines.scatter_(1, closest_one, -torch.inf).amax(1, keepdim=True)
        second.masked_fill_(second.isinf(), 0.0)  # nothing is left
        change = cosines.new_zeros(len(cosines), 1 + cosines.shape[1], cosines.shape[2])
        return most[:, 0], change.scatter_(1, 1 + closest_one, second - most)


def _greatest(rows: Tensor, index: Tensor, real: Tensor) -> Tensor:
    """The elementwise maximum of ``rows[index[b]]`` over the real entries, 0 where there are none.

    (R, N), (B, L), (B, L) -> (B, N), one entry of the histories at a time: (B, L, N) never exists.
    """
    if rows.device.type == "cpu":
        return torch.from_numpy(_greatest_on_cpu(rows.numpy(), index.numpy(), real.numpy()))
    best = torch.full((len(index), rows.shape[1]), -torch.inf, device=rows.device)
    for step in range(index.shape[1]):
        found = rows[index[:, step].clamp(min=0)]  # (B, N)
        torch.maximum(best, found.masked_fill_(~real[:, step, None], -torch.inf), out=best)
    return best.masked_fill_(~real.any(1)[:, None], 0.0)


def _greatest_on_cpu(rows: np.ndarray, index: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Row by row, so that the result of one user stays in the cache: several times faster than a gather."""
    best = np.zeros((len(index), rows.shape[1]), np.float32)
    for result, found, kept in zip(best, index, real, strict=True):
        own = found[kept].tolist()
        if own:
            result[:] = rows[own[0]]
        for row in own[1:]:
            np.maximum(result, rows[row], out=result)
    return best
