"""The nearest rows to every row of a matrix that is too large to be held in float32: coded in four bits for three
numbers, searched by code, re-scored exactly. Beside ``index`` the only file that imports faiss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from llmesr.data.unit_rows import unit_rows
from llmesr.progress import Progress, silent
from llmesr.retrieval.index import ITERATIONS, SAMPLE, TRAINING, Nearest, found_share

FEWEST = 16
_PART, _PARTS = 3, 256
"""Numbers that share a code of four bits, and the most codes of a row."""
_SHORTLIST = 16
"""Rows that are re-scored for each one that is kept."""
_PER_CODE = 1024
"""Vectors from which each of the sixteen codes is learned, at the most."""
_PROBES, _GAIN = 16, 0.01
"""From so many lists on, a doubling that adds less to the recall is the last."""
_AT_ONCE = 65_536
_QUERIES = 8192
_RESCORED = 64
"""Queries whose candidates are float32 at once: they stay in the cache of the processor."""


def quantised(
    vectors: np.ndarray, k: int, *, recall: float = 0.95, seed: int = 42, progress: Progress = silent
) -> Nearest:
    """The ``k`` rows with the highest cosine to each row of ``vectors`` (n, E), itself left out.

    ``vectors`` may be float16 and mapped: only blocks of it are float32 at once. Product quantisation behind an
    inverted file (Jegou et al. 2011, "Product quantization for nearest neighbor search"), with codes so short that a
    processor looks up 32 of them at once (Andre, Kermarrec and Le Scouarnec 2015, "Cache locality is not enough"). The
    number of probed lists is doubled, on a sample alone, until that has the ``recall`` or gains no more; then all rows
    are searched once, and the best sixteen for each one wanted are re-scored by the vectors themselves. A zero row is
    near to nobody: it gets -1 throughout, and is nobody's neighbour. ValueError where fewer than 16 are not zero.
    """
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([np.linalg.norm(block.astype(np.float32), axis=1) for _, block in _blocks(vectors)])
    there = np.flatnonzero(lengths)
    if len(there) < FEWEST:
        raise ValueError(f"{len(there)} rows are too few to learn codes from; {FEWEST} are needed")
    wanted = min(k, len(there) - 1)
    rows, scores = np.full((len(vectors), k), -1, np.int32), np.zeros((len(vectors), k), np.float32)
    index = _learned(vectors, there, rng, seed)
    _add(index, vectors, there, progress)
    sample = np.sort(rng.choice(there, min(SAMPLE, len(there)), replace=False))
    found = _tuned(index, vectors, lengths, sample, _exact(vectors, sample, wanted), recall)
    for start in range(0, len(there), _QUERIES):
        own = there[start : start + _QUERIES]
        rows[own, :wanted], scores[own, :wanted] = _search(index, vectors, lengths, own, wanted)
        progress("searching", start + len(own), len(there))
    return Nearest(rows, np.where(rows >= 0, scores, 0), "pq", found)


def _blocks(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(vectors), _AT_ONCE):
        yield start, vectors[start : start + _AT_ONCE]


def _learned(vectors: np.ndarray, there: np.ndarray, rng: np.random.Generator, seed: int) -> Any:
    """An inverted file of codes, still empty, with lists and codes learned from some of the rows ``there``."""
    import faiss

    size = vectors.shape[1]
    lists = max(1, min(int(4 * np.sqrt(len(there))), len(there) // TRAINING))
    parts = next(m for m in range(min(_PARTS, max(size // _PART, 1)), 0, -1) if size % m == 0)
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(size), size, lists, parts, 4, faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp):
        clustering.seed, clustering.niter, clustering.max_points_per_centroid = seed, ITERATIONS, _PER_CODE
    learned_from = min(len(there), TRAINING * max(lists, 256))
    index.train(unit_rows(vectors[np.sort(rng.choice(there, learned_from, replace=False))]))
    return index


def _add(index: Any, vectors: np.ndarray, there: np.ndarray, progress: Progress) -> None:
    """Put the rows ``there`` into the index, under their own numbers."""
    for start in range(0, len(there), _AT_ONCE):
        some = there[start : start + _AT_ONCE]
        index.add_with_ids(unit_rows(vectors[some]), some.astype(np.int64))
        progress("coding users", start + len(some), len(there))


def _tuned(
    index: Any, vectors: np.ndarray, lengths: np.ndarray, sample: np.ndarray, truth: np.ndarray, recall: float
) -> float:
    """Double the probed lists until the sample has the ``recall``, or until that gains next to nothing: what the codes
    themselves miss, no list makes up for. Returns the recall that there is."""
    index.nprobe = 1
    found = found_share(truth, _search(index, vectors, lengths, sample, truth.shape[1])[1])
    while found < recall and index.nprobe < index.nlist:
        index.nprobe, before = min(2 * index.nprobe, index.nlist), found
        found = found_share(truth, _search(index, vectors, lengths, sample, truth.shape[1])[1])
        if index.nprobe >= _PROBES and found - before < _GAIN:
            break
    return found


def _search(
    index: Any, vectors: np.ndarray, lengths: np.ndarray, asked: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(q, k) rows, best first, and their cosines; -1 and -inf where the probed lists hold fewer."""
    queries = unit_rows(vectors[asked])
    if _SHORTLIST * k + 1 < index.ntotal:
        near = index.search(queries, _SHORTLIST * k + 1)[1]  # (q, s)
    else:
        near = np.broadcast_to(np.flatnonzero(lengths), (len(asked), index.ntotal))
    cosines = np.empty(near.shape, np.float32)
    for start in range(0, len(asked), _RESCORED):
        some = slice(start, start + _RESCORED)
        rows = torch.from_numpy(vectors[near[some]]).float()  # (b, s, E), by torch: numpy takes five times as long
        cosines[some] = torch.bmm(rows, torch.from_numpy(queries[some, :, None]))[:, :, 0].numpy()
    cosines /= np.maximum(lengths[near], 1e-12)
    cosines[(near < 0) | (near == asked[:, None])] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(cosines, best, 1)
    return np.where(np.isfinite(found), np.take_along_axis(near, best, 1), -1), found


def _exact(vectors: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(q, k) the highest cosines there are."""
    queries = unit_rows(vectors[asked])
    best = np.full((len(asked), k), -np.inf, np.float32)
    for start, block in _blocks(vectors):
        cosines = queries @ unit_rows(block).T
        cosines[:, ~block.any(axis=1)] = -np.inf
        own = (asked >= start) & (asked < start + len(block))
        cosines[own, asked[own] - start] = -np.inf
        both = np.concatenate([best, cosines], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    return best
