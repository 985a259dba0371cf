"""Nearest neighbours in a matrix: exact up to a size, FAISS's inverted file above. With ``index_quantised`` the only
file that imports faiss.

Without faiss (some platforms lack it, and on macOS its OpenMP can clash with torch's) the same answers come from
``exact``, only slower.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llmesr.data.unit_rows import unit_rows
from llmesr.progress import Progress, silent
from llmesr.retrieval import exact

Metric = Literal["cosine", "dot", "euclidean"]
Engine = Literal["auto", "flat", "ivf", "torch"]

_BLOCK = 4096
_FEW = 1000
"""Fewer queries than this are searched one by one."""
_TOGETHER = 32_768
"""Queries searched together list by list: bounds the scores that exist at once, even where all probe one large list."""
SAMPLE = 1000
TRAINING = 40
"""Vectors per list from which the lists' centres are learned; with so many, a few iterations are enough."""
ITERATIONS = 6


@dataclass(frozen=True)
class Nearest:
    """``rows`` (q, k) int32, best first, -1 where fewer exist; ``similarity`` (q, k) float32, 0 there.

    The similarity is the cosine, the inner product, or minus the Euclidean distance. ``recall`` is the share of true
    neighbours found, measured on a sample; 1 when the search is exact.
    """

    rows: np.ndarray
    similarity: np.ndarray
    engine: str
    recall: float


def nearest(
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    metric: Metric = "cosine",
    *,
    self_rows: np.ndarray | None = None,
    engine: Engine = "auto",
    exact_up_to: int = 50_000,
    recall: float = 0.95,
    seed: int = 42,
    progress: Progress = silent,
) -> Nearest:
    """The ``k`` rows of ``vectors`` (n, E) nearest to each of ``queries`` (q, E).

    ``self_rows`` (q,) names for each query the row that is itself: it is never returned, even among exact duplicates,
    and its place goes to the next one. ``auto`` searches exactly up to ``exact_up_to`` vectors. Memory grows with
    n x E and q x k only.
    """
    if k < 1:
        raise ValueError(f"k must be positive, not {k}")
    base = _prepared(vectors, metric)
    asked = base if queries is vectors else _prepared(queries, metric)
    others = len(base) - (self_rows is not None)
    wanted = min(k, max(others, 0))
    chosen = _engine(engine, len(base), exact_up_to)
    if wanted == 0 or len(asked) == 0:
        empty = np.full((len(asked), k), -1, np.int32)
        return Nearest(empty, np.zeros(empty.shape, np.float32), chosen, 1.0)
    depth = wanted + (self_rows is not None)
    euclidean = metric == "euclidean"
    found_recall = 1.0
    if chosen == "ivf":
        rows, scores, found_recall = _approximate(
            base, asked, depth, euclidean, self_rows, wanted=recall, seed=seed, progress=progress
        )
    elif chosen == "flat":
        rows, scores = _search(_flat(base, euclidean), asked, depth, euclidean, progress)
    else:
        rows, scores = exact.search(base, asked, depth, euclidean=euclidean, progress=progress)
    rows, scores = _others((rows, scores), self_rows if self_rows is None else np.asarray(self_rows))
    similarity = -np.sqrt(np.maximum(-scores, 0)) if euclidean else scores
    result = np.full((len(asked), k), -1, np.int32)
    result[:, :wanted] = rows
    padded = np.zeros((len(asked), k), np.float32)
    padded[:, :wanted] = similarity
    return Nearest(result, padded, chosen, found_recall)


def _engine(engine: Engine, n: int, exact_up_to: int) -> Literal["flat", "ivf", "torch"]:
    if engine != "auto":
        return engine
    if importlib.util.find_spec("faiss") is None:
        return "torch"
    return "flat" if n <= exact_up_to else "ivf"


def _prepared(vectors: np.ndarray, metric: Metric) -> np.ndarray:
    return unit_rows(vectors) if metric == "cosine" else np.ascontiguousarray(vectors, np.float32)


def _flat(base: np.ndarray, euclidean: bool) -> Any:
    import faiss

    index = (faiss.IndexFlatL2 if euclidean else faiss.IndexFlatIP)(base.shape[1])
    index.add(base)
    return index


def _search(
    index: Any,
    asked: np.ndarray,
    depth: int,
    euclidean: bool,
    progress: Progress = silent,
    *,
    together: int = _BLOCK,
    by_list: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """``together`` queries at a time; ``by_list`` for an inverted file and many queries."""
    rows = np.empty((len(asked), depth), np.int64)
    scores = np.empty((len(asked), depth), np.float32)
    progress("searching", 0, len(asked))
    for start in range(0, len(asked), together):
        block = slice(start, start + together)
        some = asked[block]
        many = by_list and len(some) >= _FEW
        scores[block], rows[block] = _list_by_list(index, some, depth) if many else index.search(some, depth)
        progress("searching", min(start + together, len(asked)), len(asked))
    return rows, -scores if euclidean else scores


def _list_by_list(index: Any, asked: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Each list is multiplied once with all the queries that probe it: five times as fast as query by query."""
    from faiss.contrib.big_batch_search import big_batch_search

    with contextlib.redirect_stdout(io.StringIO()):  # it prints every list
        found: tuple[np.ndarray, np.ndarray] = big_batch_search(index, asked, depth, method="pairwise_distances")
    return found


def _approximate(
    base: np.ndarray,
    asked: np.ndarray,
    depth: int,
    euclidean: bool,
    self_rows: np.ndarray | None,
    *,
    wanted: float,
    seed: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray, float]:
    """An inverted file whose number of probed lists is doubled until the recall on a sample is ``wanted``."""
    import faiss

    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(asked), min(SAMPLE, len(asked)), replace=False))
    own = None if self_rows is None else np.asarray(self_rows)[sample]
    truth = _others(exact.search(base, asked[sample], depth, euclidean=euclidean), own)[1]
    lists = max(1, min(int(4 * np.sqrt(len(base))), len(base) // TRAINING))
    metric = faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT
    coarse = (faiss.IndexFlatL2 if euclidean else faiss.IndexFlatIP)(base.shape[1])
    index = faiss.IndexIVFFlat(coarse, base.shape[1], lists, metric)
    index.cp.seed, index.cp.niter = seed, ITERATIONS
    index.train(base[np.sort(rng.choice(len(base), min(len(base), TRAINING * lists), replace=False))])
    index.add(base)
    probes, recall = 1, 1.0 if lists == 1 else 0.0  # one list holds all: nothing is missed
    while recall < wanted and probes < lists:
        probes = min(probes * 2, lists)
        index.nprobe = probes
        recall = found_share(truth, _others(_search(index, asked[sample], depth, euclidean), own)[1])
    rows, scores = _search(index, asked, depth, euclidean, progress, together=_TOGETHER, by_list=True)
    short = np.flatnonzero((rows < 0).any(axis=1))  # the probed lists held too few
    if len(short):
        rows[short], scores[short] = exact.search(base, asked[short], depth, euclidean=euclidean)
    return rows, scores, recall


def found_share(truth: np.ndarray, found: np.ndarray) -> float:
    """Recall: the mean share of the scores ``found`` (q, k) that are as good as the worst true one of ``truth`` (q, k).

    Scores, not rows: among equals any choice is right.
    """
    worst = truth.min(axis=1, keepdims=True)
    return float((found >= worst - 1e-5 * np.abs(worst)).mean())


def _others(found: tuple[np.ndarray, np.ndarray], self_rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Drop each query's own row; where it is not there (crowded out by exact duplicates), drop the last."""
    rows, scores = found
    if self_rows is None:
        return rows, scores
    own = rows == self_rows[:, None]  # (q, depth), at most one True per row
    own[~own.any(axis=1), -1] = True
    keep = ~own
    shape = (len(rows), rows.shape[1] - 1)
    return rows[keep].reshape(shape), scores[keep].reshape(shape)
