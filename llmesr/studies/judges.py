"""Who judges a cell: recommenders that are made in seconds, of which each reads a part of it.

text-ease       item vectors, as a kernel of EASE (without its fallback, which would be fitted on validation too)
semantic-knn    item vectors under a similarity: a candidate's highest to an item of the history
similar-users   user vectors under a similarity: what the most similar users chose, the nearer counting more
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sparse
import torch
from torch import Tensor

from llmesr.config import RunConfig, StudyConfig
from llmesr.data.dataset import Dataset
from llmesr.data.unit_rows import unit_rows
from llmesr.errors import UserError
from llmesr.evaluation.ranks import Scores, evaluate
from llmesr.ids import PAD
from llmesr.linear.build import Source, build
from llmesr.linear.interactions import chosen
from llmesr.linear.kernel import centred
from llmesr.linear.scorer import LinearScorer
from llmesr.progress import Progress, silent
from llmesr.retrieval.index import Metric, nearest
from llmesr.runs.record import find_run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units
from llmesr.semantic.embed import Embedding
from llmesr.semantic.matrix import pad, whitened
from llmesr.store import Store
from llmesr.studies.cells import TEXT, Cell

WHITENING = 0.5
"""As the content term of a tuned policy has it."""
GAMMA = 0.5
"""Of the weight at which the content term spreads as far as the run's own scores."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What every judge stands on; the vectors are those of the cell."""

    store: Store
    dataset: Dataset
    embedding: Embedding


Judge = Callable[[Ground, Cell, StudyConfig], Scores]


@dataclass(frozen=True)
class Reader:
    """A judge, and the axes of a cell that change what it says."""

    scorer: Judge
    reads: tuple[str, ...]


def judged(name: str, ground: Ground, cell: Cell, config: StudyConfig, progress: Progress = silent) -> pd.DataFrame:
    """The ranks of the validation part by judge ``name``, as :func:`evaluation.ranks.evaluate` has them."""
    scorer = JUDGES[name].scorer(ground, cell, config)
    return evaluate(scorer, ground.dataset, "valid", top=0, max_length=config.max_length, progress=progress).frame


def prepared(vectors: np.ndarray, similarity: str) -> tuple[np.ndarray, Metric]:
    """``vectors`` (n, E), zero rows staying zero, and the plain metric that ``similarity`` is between them."""
    if similarity == "dot" or similarity == "euclidean":
        return np.asarray(vectors, np.float32), similarity  # type: ignore[return-value]
    table = np.asarray(vectors, np.float32)
    if similarity == "whitened":
        table = np.asarray(whitened(table, WHITENING))
    elif similarity == "centred":
        table = centred(torch.from_numpy(table)).numpy()
    return unit_rows(table), "cosine"


class NearestItems:
    """A candidate's highest similarity to an item of the history."""

    def __init__(self, vectors: np.ndarray, metric: Metric) -> None:
        """``vectors`` (N + 1, E), row 0 zero; of length 1 for the cosine."""
        self.items = torch.from_numpy(vectors)
        self.squares = self.items.square().sum(1) if metric == "euclidean" else None

    def score(self, sequences: Tensor, _: Tensor | None = None) -> Tensor:
        """(B, L) -> (B, N + 1): cosines, products, or minus squared distances; alike for an empty history."""
        read, inverse = torch.unique(sequences, return_inverse=True)  # (R,), (B, L)
        similar = self.items[read] @ self.items.T  # (R, N + 1)
        if self.squares is not None:
            similar = 2 * similar - self.squares[read, None] - self.squares
        lowest = float(similar.min()) - 1.0
        similar[read == PAD] = lowest
        best = similar[inverse[:, 0]].clone()
        for step in range(1, sequences.shape[1]):
            torch.maximum(best, similar[inverse[:, step]], out=best)
        return best


class SimilarUsers:
    """What similar users chose in training: the sum over them of 1 / log2(1 + place), whatever the unit."""

    def __init__(self, rows: np.ndarray, chose: sparse.csr_matrix) -> None:
        """``rows`` (U, K) similar users of each, nearest first, -1 where there are none; ``chose`` (U, N + 1)."""
        users, places = np.nonzero(rows >= 0)
        weights = (1 / np.log2(places + 2)).astype(np.float32)
        near = sparse.csr_matrix((weights, (users, rows[users, places])), shape=(len(rows), len(rows)))
        self.scores = (near @ chose).tocsr()

    def score(self, _: Tensor, users: Tensor | None = None) -> Tensor:
        assert users is not None
        return torch.from_numpy(self.scores[users.cpu().numpy()].toarray())


def _text_ease(ground: Ground, _: Cell, config: StudyConfig) -> Scores:
    settings = RunConfig.read(None, method="text-ease", fallback="none", max_length=config.max_length)
    text = torch.from_numpy(ground.embedding.padded().astype(np.float32))
    return LinearScorer(build(Source(ground.dataset, text), settings), decay=settings.decay)


def _semantic_knn(ground: Ground, cell: Cell, _: StudyConfig) -> Scores:
    vectors, metric = prepared(ground.embedding.item_vectors, cell.similarity)
    return NearestItems(pad(vectors), metric)


def _content(ground: Ground, _: Cell, config: StudyConfig) -> Scores:
    run = find_run(ground.store, str(config.run))
    if run.dataset_id != ground.dataset.id:
        raise UserError(f"Run {run.id!r} is of dataset {run.dataset_id!r}, not of {ground.dataset.id!r}.")
    scored = ScoredRun(ground.store, run, dataset=ground.dataset, embedding=ground.embedding).of("valid")
    return scored.under(ScoringPolicy(gamma=GAMMA * Units(scored).of("content")))


def _similar_users(ground: Ground, cell: Cell, config: StudyConfig) -> Scores:
    dataset, embedding = ground.dataset, ground.embedding
    known = np.flatnonzero(embedding.user_vectors.any(axis=1))
    rows = np.full((dataset.n_users, config.neighbours), -1)
    if len(known):
        vectors, metric = prepared(embedding.user_vectors[known], cell.similarity)
        found = nearest(vectors, vectors, config.neighbours, metric, self_rows=np.arange(len(known))).rows
        rows[known] = np.where(found >= 0, known[found], -1)
    return SimilarUsers(rows, chosen(dataset))


JUDGES: dict[str, Reader] = {
    "text-ease": Reader(_text_ease, TEXT),
    "semantic-knn": Reader(_semantic_knn, (*TEXT, "similarity")),
    "content": Reader(_content, TEXT),
    "similar-users": Reader(_similar_users, (*TEXT, "similarity", "users")),
}
