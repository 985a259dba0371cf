"""Neighbours of neighbours: whoever is near to one's neighbours is likely near to oneself.

Dong, Moses and Li 2011, "Efficient k-nearest neighbor graph construction". Here users that are alike go through it
together, in blocks: what their neighbours are near to is mostly the same, is read once, and is compared with the whole
block by one product of matrices. So a block also meets what only one of it would have met.
"""

from __future__ import annotations

import numpy as np
import torch

from llmesr.data.unit_rows import unit_rows
from llmesr.progress import Progress, silent

BLOCK = 256
"""Rows that are refined together."""
_AT_MOST = 65_536
"""Rows that a block is compared with; where there would be more, the block is halved. Bounds the memory."""


class Graph:
    """The nearest found so far to each row of ``vectors`` (n, E), which may be float16 and mapped.

    ``near`` (n, K) int32, best first, -1 where there are fewer; ``cosines`` (n, k) float32 of the first k, -inf there.
    """

    def __init__(self, vectors: np.ndarray, k: int, kept: int) -> None:
        self.vectors = vectors
        self.near = np.full((len(vectors), kept), -1, np.int32)
        self.cosines = np.full((len(vectors), k), -np.inf, np.float32)

    def refine(self, order: np.ndarray, progress: Progress = silent) -> None:
        """A round over the rows ``order`` (q,), in which rows that are alike are to follow each other. Later blocks use
        what earlier ones have found."""
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            self.near[block], cosines = self.better(block)
            self.cosines[block] = cosines[:, : self.cosines.shape[1]]
            progress("neighbours of neighbours", start + len(block), len(order))

    def better(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of those whom the rows ``block`` (b,) meet, the (b, K) nearest to each, best first, and their cosines; -1 and
        -inf where there are fewer."""
        met = self.met(block)
        if len(met) > _AT_MOST and len(block) > 1:
            halves = [self.better(half) for half in np.array_split(block, 2)]
            return np.concatenate([rows for rows, _ in halves]), np.concatenate([cosines for _, cosines in halves])
        scores = units(self.vectors[block]) @ units(self.vectors[met]).T  # (b, m)
        scores[np.arange(len(block)), np.searchsorted(met, block)] = -torch.inf
        kept = min(self.near.shape[1], len(met))
        best = scores.topk(kept, dim=1)
        rows = np.full((len(block), self.near.shape[1]), -1, np.int32)
        cosines = np.full(rows.shape, -np.inf, np.float32)
        cosines[:, :kept] = best.values
        rows[:, :kept] = np.where(np.isfinite(cosines[:, :kept]), met[best.indices], -1)
        return rows, cosines

    def met(self, block: np.ndarray) -> np.ndarray:
        """(m,) the rows ``block`` (b,), their neighbours and the neighbours of these, each once, in ascending order."""
        own = np.unique(self.near[block])
        own = own[own >= 0]
        met = np.unique(np.concatenate([block, own, self.near[own].ravel()]))
        return met[met >= 0]


def floats(rows: np.ndarray) -> torch.Tensor:
    """In float32, by torch: numpy takes several times as long for float16."""
    return torch.from_numpy(rows).float()


def units(rows: np.ndarray) -> torch.Tensor:
    """The same at length 1."""
    return unit_rows(floats(rows))
