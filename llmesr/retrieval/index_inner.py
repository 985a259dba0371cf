"""The rows with the highest inner products, found among some of the lists of an inverted file. Beside ``index`` and
``index_quantised`` the only file that imports faiss."""

from __future__ import annotations

import numpy as np

from llmesr.retrieval.index import ITERATIONS, TRAINING


class InnerProducts:
    """Rows of ``vectors`` (n, D) in lists of like ones; queries come in any number of blocks."""

    def __init__(self, vectors: np.ndarray, *, seed: int = 42) -> None:
        """Needs faiss. ``vectors`` are float32."""
        import faiss

        size, count = vectors.shape[1], len(vectors)
        self.lists = max(1, min(int(4 * np.sqrt(count)), count // TRAINING))
        self._index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, self.lists, faiss.METRIC_INNER_PRODUCT)
        self._index.cp.seed, self._index.cp.niter = seed, ITERATIONS
        learned_from = np.random.default_rng(seed).choice(count, min(count, TRAINING * self.lists), replace=False)
        self._index.train(vectors[np.sort(learned_from)])
        self._index.add(vectors)

    @property
    def probed(self) -> int:
        """Lists that are read for a query; 1 at first."""
        return int(self._index.nprobe)

    @probed.setter
    def probed(self, lists: int) -> None:
        self._index.nprobe = min(lists, self.lists)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(q, D) -> (q, k) rows, best first; -1 where the lists that are read hold fewer."""
        found: np.ndarray = self._index.search(np.ascontiguousarray(queries, np.float32), k)[1]
        return found
