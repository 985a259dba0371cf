"""Every point's nearest neighbours in its original space.

All pairs of one matrix are a special case that pays off: blocks of a matrix product, and a selection that first takes
the maximum of each of 32 interleaved groups of columns and then looks only inside the best groups. It is exact (the k
best values lie in at most k groups) and three times as fast as a plain top-k, five as FAISS's flat index on the same
two cores. Above ``exact_up_to`` points the inverted file of ``llmesr.retrieval.index`` takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from llmesr.data.unit_rows import unit_rows
from llmesr.progress import Progress, silent

_GROUPS = 32
_BLOCK = 256


@dataclass(frozen=True)
class Knn:
    """``rows`` (n, k) int32 nearest first, never the point itself, -1 where there is none; ``similarity`` (n, k).

    A point without a vector (all zeros: no text) has no neighbours and is nobody's neighbour. ``recall`` is 1 when
    the search was exact.
    """

    rows: np.ndarray
    similarity: np.ndarray
    recall: float = 1.0

    @property
    def known(self) -> np.ndarray:
        """(n,) bool: the points that have a neighbourhood."""
        return self.rows[:, 0] >= 0


def nearest_in_space(
    vectors: np.ndarray,
    k: int,
    *,
    exact_up_to: int = 100_000,
    progress: Progress = silent,
    stage: str = "neighbours",
) -> Knn:
    """The ``k`` points nearest by cosine to each of ``vectors`` (n, E)."""
    known = np.flatnonzero(np.asarray(vectors).any(axis=1))
    rows = np.full((len(vectors), k), -1, np.int32)
    similarity = np.zeros((len(vectors), k), np.float32)
    wanted = min(k, len(known) - 1)
    recall = 1.0
    if wanted > 0:
        units = unit_rows(vectors[known])
        if len(known) <= exact_up_to:
            found, scores = all_pairs(units, wanted, progress=progress, stage=stage)
        else:
            from llmesr.retrieval.index import nearest

            answer = nearest(units, units, wanted, self_rows=np.arange(len(units)), engine="ivf", progress=progress)
            found, scores, recall = answer.rows, answer.similarity, answer.recall
        rows[known, :wanted] = known[found]
        similarity[known, :wanted] = scores
    return Knn(rows, similarity, recall)


def all_pairs(
    units: np.ndarray, k: int, *, progress: Progress = silent, stage: str = "neighbours"
) -> tuple[np.ndarray, np.ndarray]:
    """Exact: rows (n, k) int64 and inner products (n, k) of the ``k`` < n best others of each of ``units`` (n, E)."""
    n, width = units.shape
    if not 0 < k < n:
        raise ValueError(f"k must be between 1 and {n - 1}, not {k}")
    columns = -(-n // _GROUPS)
    base = torch.zeros(columns * _GROUPS, width)
    base[:n] = torch.from_numpy(units)
    buffer = torch.empty(_BLOCK, len(base))
    rows = np.empty((n, k), np.int64)
    scores = np.empty((n, k), np.float32)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        score = torch.mm(base[start:stop], base.T, out=buffer[: stop - start])  # (b, groups * columns)
        score[:, n:] = -torch.inf
        own = torch.arange(start, stop)
        score[own - start, own] = -torch.inf
        best, where = _top(score.view(stop - start, _GROUPS, columns), k)
        rows[start:stop], scores[start:stop] = where.numpy(), best.numpy()
        progress(stage, stop, n)
    return rows, scores


def _top(score: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` best of each row of ``score`` (b, groups, columns) and their flat column numbers."""
    columns = score.shape[2]
    chosen = score.amax(1).topk(min(k, columns), dim=1).indices  # (b, k)
    inside = score.gather(2, chosen[:, None, :].expand(-1, score.shape[1], -1)).flatten(1)  # (b, groups * k)
    best, place = inside.topk(k, dim=1)
    width = chosen.shape[1]
    return best, (place // width) * columns + chosen.gather(1, place % width)


def neighbours_of(vectors: np.ndarray, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` rows nearest by cosine to one ``row``: rows and similarities, nearest first; none without a vector."""
    known = np.asarray(np.any(vectors, axis=1))
    if not known[row]:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    units = unit_rows(vectors)
    scores = units @ units[row]
    scores[~known] = -np.inf
    scores[row] = -np.inf
    order = np.argsort(-scores, kind="stable")[: min(k, int(known.sum()) - 1)]
    return order, scores[order]


def closeness(vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The mean cosine of each of ``rows`` to the ``k`` others nearest to it among ``vectors`` (n, E): (len(rows),)."""
    units = unit_rows(vectors)
    found = []
    for block in np.array_split(rows, max(-(-len(rows) // _BLOCK), 1)):
        cosine = units[block] @ units.T
        cosine[np.arange(len(block)), block] = -np.inf
        found.append(np.partition(cosine, -k, axis=1)[:, -k:].mean(axis=1))
    return np.concatenate(found)
