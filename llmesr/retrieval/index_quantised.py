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
_SHORTLISTS = (8, 12, 16, 24, 32)
"""Rows that are re-scored for each one that is kept."""
_EIGHTHS = (5, 6, 7, 8, 12, 16)
"""Of the lists that are enough with the longest shortlist, what is tried for each."""
_CODES = 170
"""Codes that are looked up while one row is re-scored (measured on a million rows: 2.9 ns and .5 us)."""
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

    ``vectors`` may be float16 and mapped: only blocks of it are float32 at once. All rows are searched once in
    :class:`Coded`, whose ``recall`` is the one wanted or the highest there is. A zero row is near to nobody: it gets -1
    throughout, and is nobody's neighbour. ValueError where fewer than 16 are not zero.
    """
    coded = Coded(vectors, k, recall=recall, seed=seed, progress=progress)
    rows, scores = np.full((len(vectors), k), -1, np.int32), np.zeros((len(vectors), k), np.float32)
    for start in range(0, len(coded.there), _QUERIES):
        own = coded.there[start : start + _QUERIES]
        rows[own, : coded.k], scores[own, : coded.k] = coded.nearest(own)
        progress("searching", start + len(own), len(coded.there))
    return Nearest(rows, np.where(rows >= 0, scores, 0), "pq", coded.recall)


class Coded:
    """Rows in lists of like ones, by code.

    Product quantisation behind an inverted file (Jegou et al. 2011, "Product quantization for nearest neighbor
    search"), with codes so short that a processor looks up 32 of them at once (Andre, Kermarrec and Le Scouarnec 2015,
    "Cache locality is not enough"). The best by code, the shortlist, are re-scored by the vectors themselves. The
    number of probed lists is doubled, on a sample alone, until that has the recall or gains no more; of the lists and
    lengths of the shortlist that are enough for the sample, the cheapest are taken.
    """

    def __init__(self, vectors: np.ndarray, k: int, *, recall: float, seed: int, progress: Progress = silent) -> None:
        """Codes all rows of ``vectors`` (n, E) that are not zero. ValueError where these are fewer than 16."""
        rng = np.random.default_rng(seed)
        self.vectors = vectors
        self.lengths = np.concatenate([_float(block).norm(dim=1).numpy() for _, block in _blocks(vectors)])
        self.there = np.flatnonzero(self.lengths)
        if len(self.there) < FEWEST:
            raise ValueError(f"{len(self.there)} rows are too few to learn codes from; {FEWEST} are needed")
        self.k = min(k, len(self.there) - 1)
        self.index = _learned(vectors, self.there, rng, seed)
        _add(self.index, vectors, self.there, progress)
        sample = np.sort(rng.choice(self.there, min(SAMPLE, len(self.there)), replace=False))
        self.recall = self._tuned(sample, recall)

    def _tuned(self, sample: np.ndarray, wanted: float) -> float:
        """Settle how many lists are probed, and how many rows re-scored. Returns the recall of the sample."""
        truth = _exact(self.vectors, sample, self.k)

        def found(lists: int, shortlist: int) -> float:
            self.index.nprobe, self.shortlist = lists, shortlist
            return found_share(truth, self.nearest(sample)[1])

        lists, reached = 1, found(1, _SHORTLISTS[-1])
        while reached < wanted and lists < self.index.nlist:
            lists, before = min(2 * lists, self.index.nlist), reached
            reached = found(lists, _SHORTLISTS[-1])
            if lists >= _PROBES and reached - before < _GAIN:  # what the codes miss, no list makes up for
                break
        if reached >= wanted:
            for way in self._ways(sample, lists):  # what has been found to be enough is among them
                if (reached := found(*way)) >= wanted:
                    break
        return reached

    def _ways(self, sample: np.ndarray, enough: int) -> list[tuple[int, int]]:
        """Lists to probe, ``enough`` and others, and lengths of the shortlist, those first that cost least."""
        sizes = np.array([self.index.invlists.list_size(n) for n in range(self.index.nlist)])
        tried = {min(max(1, enough * eighths // 8), len(sizes)) for eighths in _EIGHTHS}
        probed = sizes[self.index.quantizer.search(unit_rows(self.vectors[sample]), max(tried))[1]]  # (q, lists)
        codes = np.cumsum(probed.mean(axis=0))
        ways = [(lists, shortlist) for lists in tried for shortlist in _SHORTLISTS]
        return sorted(ways, key=lambda way: codes[way[0] - 1] + _CODES * way[1] * self.k)

    def nearest(self, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows ``asked`` (q,): the (q, k) others that are nearest, best first, and their cosines; -1 and -inf where
        the probed lists hold fewer."""
        queries = unit_rows(self.vectors[asked])
        if self.shortlist * self.k + 1 < self.index.ntotal:
            near = self.index.search(queries, self.shortlist * self.k + 1)[1]  # (q, s)
        else:
            near = np.broadcast_to(self.there, (len(asked), self.index.ntotal))
        cosines = np.empty(near.shape, np.float32)
        for start in range(0, len(asked), _RESCORED):
            some = slice(start, start + _RESCORED)
            rows = _float(self.vectors[near[some]])  # (b, s, E)
            cosines[some] = torch.bmm(rows, torch.from_numpy(queries[some, :, None]))[:, :, 0].numpy()
        cosines /= np.maximum(self.lengths[near], 1e-12)
        cosines[(near < 0) | (near == asked[:, None])] = -np.inf
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : self.k]
        found = np.take_along_axis(cosines, best, 1)
        return np.where(np.isfinite(found), np.take_along_axis(near, best, 1), -1), found


def _blocks(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Copies, as torch asks for what may be written to."""
    for start in range(0, len(vectors), _AT_ONCE):
        yield start, np.array(vectors[start : start + _AT_ONCE])


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
        index.add_with_ids(unit_rows(_float(vectors[some])).numpy(), some.astype(np.int64))
        progress("coding users", start + len(some), len(there))


def _exact(vectors: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(q, k) the highest cosines there are."""
    queries = torch.from_numpy(unit_rows(vectors[asked]))
    best = torch.full((len(asked), k), -torch.inf)
    for start, block in _blocks(vectors):
        rows = unit_rows(_float(block))
        cosines = queries @ rows.T
        cosines[:, ~rows.any(dim=1)] = -torch.inf
        own = np.flatnonzero((asked >= start) & (asked < start + len(block)))
        cosines[own, asked[own] - start] = -torch.inf
        highest = cosines.topk(min(k, len(block)), dim=1).values
        best = torch.cat([best, highest], dim=1).topk(k, dim=1).values
    return best.numpy()


def _float(rows: np.ndarray) -> torch.Tensor:
    """In float32, by torch: numpy takes several times as long for float16."""
    return torch.from_numpy(rows).float()
