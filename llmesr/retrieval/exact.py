"""Exact nearest neighbours by torch, block against block: no index, no FAISS, never (queries x vectors) at once."""

from __future__ import annotations

import numpy as np
import torch

from llmesr.progress import Progress, silent

_QUERIES = 1024
_VECTORS = 32_768


def search(
    vectors: np.ndarray, queries: np.ndarray, k: int, *, euclidean: bool = False, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` best rows of ``vectors`` (n, E) for each of ``queries`` (q, E), best first.

    Returns rows (q, k) int64 and scores (q, k) float32: inner products, or negative squared distances.
    """
    base = torch.from_numpy(np.ascontiguousarray(vectors))
    asked = torch.from_numpy(np.ascontiguousarray(queries))
    norms = base.square().sum(1) if euclidean else None
    rows = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), _QUERIES):
        block = asked[start : start + _QUERIES]
        best = torch.empty(len(block), 0)
        where = torch.empty(len(block), 0, dtype=torch.int64)
        for first in range(0, len(base), _VECTORS):
            part = base[first : first + _VECTORS]
            score = block @ part.T  # (b, v)
            if norms is not None:
                score = 2 * score - norms[first : first + _VECTORS] - block.square().sum(1, keepdim=True)
            score, index = score.topk(min(k, len(part)), dim=1)
            best, keep = torch.cat([best, score], 1).topk(min(k, best.shape[1] + score.shape[1]), dim=1)
            where = torch.cat([where, index + first], 1).gather(1, keep)
        rows[start : start + len(block)] = where.numpy()
        scores[start : start + len(block)] = best.numpy()
        progress("searching", start + len(block), len(queries))
    return rows, scores
