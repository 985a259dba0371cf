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
from llmesr.retrieval.refine import BLOCK, Graph, floats

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
_REFINED_FROM, _REFINED_UP_TO = 500_000, 20
"""Rows from which neighbours of neighbours are considered, and wanted neighbours up to which: a round grows with the
square of these."""
_KEPT, _SHORT = 1.6, 2
"""Neighbours that a round begins with, for each one wanted; the shortlist of the search before it."""
_FEWEST_LISTS, _TRIED, _ASKED = 4, 48, 32
"""Lists that are tried first before a round; the blocks it is tried for, and of how many rows one is asked for."""
_PRODUCT = 4
"""Codes that are looked up while two rows are compared by a product of matrices (measured)."""
_ROUNDS, _AGAIN, _GAINED = 3, 0.1, 0.002
"""The most rounds; what a second finds of what the first has missed (measured: .10 to .17); what the last one has to
add to the recall for there to be another."""


def quantised(
    vectors: np.ndarray, k: int, *, recall: float = 0.95, seed: int = 42, progress: Progress = silent
) -> Nearest:
    """The ``k`` rows with the highest cosine to each row of ``vectors`` (n, E), itself left out.

    ``vectors`` may be float16 and mapped: only blocks of it are float32 at once. All rows are searched once in
    :class:`Coded`; where that costs less, in few lists, and then refined by neighbours of neighbours. ``recall`` is
    that of a sample: the one wanted or the highest there is; with neighbours of neighbours, whose lists are chosen on
    some blocks of rows, it may fall a little short of the one wanted. A zero row is near to nobody: it gets -1
    throughout, and is nobody's neighbour. ValueError where fewer than 16 are not zero.
    """
    coded = Coded(vectors, k, recall=recall, seed=seed, progress=progress)
    if coded.k == k and (graph := coded.graph(recall)) is not None:
        reached = coded.refine(graph, recall, progress)
        rows, scores = np.ascontiguousarray(graph.near[:, :k]), graph.cosines
    else:
        reached = coded.recall
        rows, scores = np.full((len(vectors), k), -1, np.int32), np.zeros((len(vectors), k), np.float32)
        for start in range(0, len(coded.there), _QUERIES):
            own = coded.there[start : start + _QUERIES]
            rows[own, : coded.k], scores[own, : coded.k] = coded.nearest(own)
            progress("searching", start + len(own), len(coded.there))
    scores[rows < 0] = 0
    return Nearest(rows, scores, "pq", reached)


class Coded:
    """Rows in lists of like ones, by code.

    Product quantisation behind an inverted file (Jegou et al. 2011, "Product quantization for nearest neighbor
    search"), with codes so short that a processor looks up 32 of them at once (Andre, Kermarrec and Le Scouarnec 2015,
    "Cache locality is not enough"). The best by code, the shortlist, are re-scored by the vectors themselves. The
    number of probed lists is doubled, on a sample alone, until that has the recall or gains no more; of the lists and
    lengths of the shortlist that are enough for the sample, the cheapest are taken.

    Of many rows few lists may be enough, and then neighbours of neighbours (:class:`Graph`): :meth:`graph` tries that
    for some blocks of rows, :meth:`refine` carries it out for all.
    """

    def __init__(self, vectors: np.ndarray, k: int, *, recall: float, seed: int, progress: Progress = silent) -> None:
        """Codes all rows of ``vectors`` (n, E) that are not zero. ValueError where these are fewer than 16."""
        rng = np.random.default_rng(seed)
        self.vectors = vectors
        self.lengths = np.concatenate([floats(block).norm(dim=1).numpy() for _, block in _blocks(vectors)])
        self.there = np.flatnonzero(self.lengths)
        if len(self.there) < FEWEST:
            raise ValueError(f"{len(self.there)} rows are too few to learn codes from; {FEWEST} are needed")
        self.k = min(k, len(self.there) - 1)
        self.index = _learned(vectors, self.there, rng, seed)
        _add(self.index, vectors, self.there, progress)
        self.sample = np.sort(rng.choice(self.there, min(SAMPLE, len(self.there)), replace=False))
        self.truth = _exact(self.vectors, self.sample, self.k)
        self.recall = self._tuned(recall)

    def _tuned(self, wanted: float) -> float:
        """Settle how many lists are probed, and how many rows re-scored. Returns the recall of the sample."""

        def found(lists: int, shortlist: int) -> float:
            self.index.nprobe, self.shortlist = lists, shortlist
            return found_share(self.truth, self.nearest(self.sample)[1])

        lists, reached = 1, found(1, _SHORTLISTS[-1])
        while reached < wanted and lists < self.index.nlist:
            lists, before = min(2 * lists, self.index.nlist), reached
            reached = found(lists, _SHORTLISTS[-1])
            if lists >= _PROBES and reached - before < _GAIN:  # what the codes miss, no list makes up for
                break
        if reached >= wanted:
            for way in self._ways(self.sample, lists):  # what has been found to be enough is among them
                if (reached := found(*way)) >= wanted:
                    break
        return reached

    def _ways(self, sample: np.ndarray, enough: int) -> list[tuple[int, int]]:
        """Lists to probe, ``enough`` and others, and lengths of the shortlist, those first that cost least."""
        tried = {min(max(1, enough * eighths // 8), self.index.nlist) for eighths in _EIGHTHS}
        codes = self._codes(sample, max(tried))
        ways = [(lists, shortlist) for lists in tried for shortlist in _SHORTLISTS]
        return sorted(ways, key=lambda way: codes[way[0] - 1] + _CODES * way[1] * self.k)

    def _codes(self, sample: np.ndarray, lists: int) -> np.ndarray:
        """(lists,) how many codes the nearest list of a row holds, the nearest two, and so on: the sample's mean."""
        sizes = np.array([self.index.invlists.list_size(n) for n in range(self.index.nlist)])
        probed = sizes[self.index.quantizer.search(unit_rows(self.vectors[sample]), lists)[1]]  # (q, lists)
        codes: np.ndarray = np.cumsum(probed.mean(axis=0))
        return codes

    def graph(self, wanted: float) -> Graph | None:
        """What to refine, where few lists and a round or two cost less than the search that was settled on, or reach
        more and that lacks the recall ``wanted``. The few are then the lists that are probed; else None."""
        if len(self.there) < _REFINED_FROM or self.k > _REFINED_UP_TO:
            return None
        settled = self.index.nprobe, self.shortlist
        codes, kept = self._codes(self.sample, settled[0]), int(np.ceil(_KEPT * self.k))
        graph = Graph(self.vectors, self.k, min(kept, len(self.there) - 1))
        most = codes[-1] + _CODES * self.shortlist * self.k if self.recall >= wanted else np.inf
        order = self.order()
        starts = np.linspace(0, max(len(order) - BLOCK, 0), _TRIED).astype(int)
        blocks = [order[start : start + BLOCK] for start in starts]
        truth = _exact(self.vectors, np.concatenate([block[::_ASKED] for block in blocks]), self.k)
        few, best = _FEWEST_LISTS, (self.recall + _GAIN if self.recall < wanted else np.inf, *settled)
        while few < settled[0]:
            self.index.nprobe, self.shortlist = few, _SHORT
            reached, a_round = self._tried(graph, blocks, truth)
            cost = codes[few - 1] + _CODES * _SHORT * graph.near.shape[1] + a_round
            if cost + (a_round if reached < wanted else 0) >= most:
                break
            dear = codes[few - 1] > a_round  # twice the lists would cost more than a second round
            if reached >= wanted or (dear and reached + _AGAIN * (1 - reached) >= wanted):
                return graph
            best = max(best, (reached, few, _SHORT))
            few *= 2
        _, self.index.nprobe, self.shortlist = best
        return graph if best[1:] != settled else None

    def _tried(self, graph: Graph, blocks: list[np.ndarray], truth: np.ndarray) -> tuple[float, float]:
        """A round for some blocks, whose every :data:`_ASKED`-th rows have the highest cosines ``truth``. The recall
        that the sample would have after it, if of what it misses before the same part is found as in these blocks; and
        what the round costs a row, in codes that are looked up meanwhile."""
        kept = graph.near.shape[1]
        self._search(graph, np.concatenate(blocks))
        others = np.unique(graph.near[np.concatenate(blocks)])
        self._search(graph, others[others >= 0])
        met = float(np.mean([len(graph.met(block)) for block in blocks]))
        after = np.concatenate([graph.better(block)[1][::_ASKED, : self.k] for block in blocks])
        before = self.nearest(np.concatenate([block[::_ASKED] for block in blocks]), kept)[1][:, : self.k]
        left = (1 - found_share(truth, after)) / max(1 - found_share(truth, before), 1e-9)
        missed = 1 - found_share(self.truth, self.nearest(self.sample, kept)[1][:, : self.k])
        return 1 - missed * left, met * (_PRODUCT + _CODES / BLOCK)

    def _search(self, graph: Graph, asked: np.ndarray, progress: Progress = silent) -> None:
        """The neighbours of rows ``asked`` before any round."""
        for start in range(0, len(asked), _QUERIES):
            own = asked[start : start + _QUERIES]
            graph.near[own] = self.nearest(own, graph.near.shape[1])[0]
            progress("searching", start + len(own), len(asked))

    def order(self) -> np.ndarray:
        """All rows that are not zero, list by list: like ones follow each other."""
        import faiss

        lists = self.index.invlists
        filled = [n for n in range(lists.nlist) if lists.list_size(n)]
        return np.concatenate([faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)) for n in filled])

    def refine(self, graph: Graph, wanted: float, progress: Progress = silent) -> float:
        """Search all rows as :meth:`graph` has settled, then rounds until the sample has the recall ``wanted`` or gains
        no more. Returns its recall."""
        order, reached = self.order(), 0.0
        self._search(graph, order, progress)
        for _ in range(_ROUNDS):
            graph.refine(order, progress)
            before, reached = reached, found_share(self.truth, graph.cosines[self.sample])
            if reached >= wanted or reached - before < _GAINED:
                break
        return reached

    def nearest(self, asked: np.ndarray, kept: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Of rows ``asked`` (q,): the (q, k) others that are nearest (or as many as are ``kept``), best first, and
        their cosines; -1 and -inf where the probed lists hold fewer."""
        kept = kept or self.k
        queries = unit_rows(self.vectors[asked])
        if self.shortlist * kept + 1 < self.index.ntotal:
            near = self.index.search(queries, self.shortlist * kept + 1)[1]  # (q, s)
        else:
            near = np.broadcast_to(self.there, (len(asked), self.index.ntotal))
        cosines = np.empty(near.shape, np.float32)
        for start in range(0, len(asked), _RESCORED):
            some = slice(start, start + _RESCORED)
            rows = floats(self.vectors[near[some]])  # (b, s, E)
            cosines[some] = torch.bmm(rows, torch.from_numpy(queries[some, :, None]))[:, :, 0].numpy()
        cosines /= np.maximum(self.lengths[near], 1e-12)
        cosines[(near < 0) | (near == asked[:, None])] = -np.inf
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :kept]
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
        index.add_with_ids(unit_rows(floats(vectors[some])).numpy(), some.astype(np.int64))
        progress("coding users", start + len(some), len(there))


def _exact(vectors: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(q, k) the highest cosines there are."""
    queries = torch.from_numpy(unit_rows(vectors[asked]))
    best = torch.full((len(asked), k), -torch.inf)
    for start, block in _blocks(vectors):
        rows = unit_rows(floats(block))
        cosines = queries @ rows.T
        cosines[:, ~rows.any(dim=1)] = -torch.inf
        own = np.flatnonzero((asked >= start) & (asked < start + len(block)))
        cosines[own, asked[own] - start] = -torch.inf
        highest = cosines.topk(min(k, len(block)), dim=1).values
        best = torch.cat([best, highest], dim=1).topk(k, dim=1).values
    return best.numpy()
