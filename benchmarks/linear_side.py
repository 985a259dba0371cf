"""Item-to-item models of others for benchmarks/linear_peers.py; runs in an environment of its own, prints JSON lines.

    python linear_side.py implicit|rectools|sansa DATA.npz RIDGE NEIGHBOURS REPEATS

DATA holds two matrices of users by items (``train``: zeros and ones; ``history``: what is known when the target is to
be found, faded) and the target of each user.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sparse

Model = tuple[str, Callable[[], Any], Callable[[Any, sparse.csr_matrix], Any]]
"""A name, what is timed, and the scores of histories by what that gave."""


def main(library: str, file: str, ridge: float, neighbours: int, repeats: int) -> None:
    train, history, target = read(file)
    for name, fit, score in SIDES[library](train, ridge, neighbours):
        made, cpu, wall = timed(fit, repeats)
        print(json.dumps({"model": name, "cpu": cpu, "wall": wall, **judged(made, score, history, target)}), flush=True)


def read(file: str) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    found = np.load(file)

    def matrix(name: str) -> sparse.csr_matrix:
        parts = tuple(found[f"{name}_{part}"] for part in ("data", "at", "ptr"))
        return sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, int(found["size"])))

    return matrix("train"), matrix("history"), found["target"]


def timed(fit: Callable[[], Any], repeats: int) -> tuple[Any, float, float]:
    """The model, and the least processor and wall seconds of several times."""
    found = []
    for _ in range(repeats):
        busy, started = time.process_time(), time.perf_counter()
        made = fit()
        found.append((time.process_time() - busy, time.perf_counter() - started))
    return made, min(cpu for cpu, _ in found), min(wall for _, wall in found)


def judged(
    made: Any, score: Callable[[Any, sparse.csr_matrix], Any], history: sparse.csr_matrix, target: np.ndarray
) -> dict[str, float]:
    """NDCG@10 and HR@10 of the targets among all items that are not in the history; a tie counts half."""
    gain, hits = 0.0, 0.0
    for start in range(0, len(target), 512):
        part, wanted = history[start : start + 512], target[start : start + 512]
        scores = score(made, part)
        scores = np.asarray(scores.todense() if sparse.issparse(scores) else scores, np.float64)
        scores[part.nonzero()] = -np.inf
        more = tallied(scores, wanted)
        gain, hits = gain + more[0], hits + more[1]
    return {"NDCG@10": gain / len(target), "HR@10": hits / len(target)}


def tallied(scores: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """The sums of NDCG@10 and of hits of the targets ``wanted`` (B,) by scores (B, N + 1); a tie counts half."""
    own = scores[np.arange(len(wanted)), wanted][:, None]
    rank = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return float((1 / np.log2(rank + 1))[rank <= 10].sum()), float((rank <= 10).sum())


def implicit_side(train: sparse.csr_matrix, ridge: float, neighbours: int) -> Iterator[Model]:
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    for kind in (CosineRecommender, BM25Recommender):

        def fit(kind: Any = kind) -> Any:
            model = kind(K=neighbours, num_threads=1)
            model.fit(train.astype(np.float64), show_progress=False)
            return model.similarity

        yield f"implicit {kind.__name__}", fit, lambda made, part: part @ made


def rectools_side(train: sparse.csr_matrix, ridge: float, neighbours: int) -> Iterator[Model]:
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    user, item = train.nonzero()
    rows = pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: "2026-01-01"})
    data = Dataset.construct(rows)
    place = data.item_id_map.convert_to_internal(np.arange(train.shape[1]), strict=False, return_missing=True)[0]
    known = data.item_id_map.external_ids[place].astype(int)

    def scores(made: np.ndarray, part: sparse.csr_matrix) -> np.ndarray:
        found = np.zeros(part.shape)
        found[:, known] = part[:, known] @ made[np.ix_(place, place)]
        return found

    def fit() -> np.ndarray:
        return np.asarray(EASEModel(regularization=ridge).fit(data).weight)

    yield "RecTools EASE", fit, scores


def sansa_side(train: sparse.csr_matrix, ridge: float, neighbours: int) -> Iterator[Model]:
    from sansa import (
        SANSA,
        CHOLMODGramianFactorizerConfig,
        ICFGramianFactorizerConfig,
        SANSAConfig,
        UMRUnitLowerTriangleInverterConfig,
    )

    for kind in (CHOLMODGramianFactorizerConfig, ICFGramianFactorizerConfig):

        def fit(rows: sparse.csr_matrix = train, kind: Any = kind) -> Any:
            finish = UMRUnitLowerTriangleInverterConfig(scans=1, finetune_steps=5)
            density = min(1.0, neighbours / train.shape[1])
            return SANSA(SANSAConfig(ridge, density, kind(), finish)).fit(rows)

        fit(train[:500])  # compiles
        yield f"SANSA {kind.__name__.partition('Gramian')[0]}", fit, lambda made, part: made.forward(part)


SIDES: dict[str, Callable[[sparse.csr_matrix, float, int], Iterator[Model]]] = {
    "implicit": implicit_side,
    "rectools": rectools_side,
    "sansa": sansa_side,
}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
