"""Which weights rank the items that a linear model leaves at zero: those that are best on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from llmesr.data.batches import Sequences, in_order
from llmesr.data.dataset import Dataset
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import full_ranks, sampled_ranks
from llmesr.linear.fallback import Fallback
from llmesr.linear.scorer import LinearScorer
from llmesr.progress import Progress, silent

SAMPLE = 4000
"""Users of validation that are asked."""
POPULARITY = (0.0, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3)
CONTENT = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights that are tried, as shares of the unit: the median over users of their highest linear score."""
NONE = (0.0, 0.0)
CUTOFF = 10
FLOOR = 1e-6
"""Of each mean, so that one group without a hit does not hide the others."""
BATCH = 2**22
"""Scores held at once."""


def fit_fallback(
    scorer: LinearScorer,
    fallback: Fallback,
    dataset: Dataset,
    sequences: Sequences,
    *,
    max_length: int,
    popularity: bool = True,
    progress: Progress = silent,
) -> tuple[float, float]:
    """The weights of popularity and of content; 0 where ``popularity`` is off, or ``fallback`` has no vectors.

    Judged by the geometric mean of four numbers, NDCG@10 overall and of tail items under both protocols, among the
    weights that do not cost full ranking overall anything: first the content weight beside the least popularity, then
    the popularity weight beside that content.
    """
    users = dataset.split.users("valid")
    if not len(users):
        return 0.0, 0.0
    if len(users) > SAMPLE:
        users = np.sort(np.random.default_rng(dataset.seed).choice(users, SAMPLE, replace=False))
    search = _Search(scorer, fallback, dataset, sequences, users, max_length)
    least, content = POPULARITY[1] if popularity else 0.0, 0.0
    if fallback.vectors is not None:
        content = search.best([NONE, *((least, weight) for weight in CONTENT)])[1]
        progress("fallback", 1, 2)
    chosen = 0.0
    if popularity:
        chosen, content = search.best([NONE, *((weight, content) for weight in POPULARITY)])
    progress("fallback", 2, 2)
    return chosen * search.unit, content * search.unit


class _Search:
    def __init__(
        self,
        scorer: LinearScorer,
        fallback: Fallback,
        dataset: Dataset,
        sequences: Sequences,
        users: np.ndarray,
        max_length: int,
    ) -> None:
        self.scorer, self.fallback, self.dataset, self.users = scorer, fallback, dataset, users
        self.asked = Questions(dataset, "valid", sequences, max_length)
        self.batch_size = max(1, min(256, BATCH // (dataset.n_items + 1)))
        few = users[:: max(1, len(users) // 512)]
        tops = [scorer.linear(self.asked.batch(part).inputs).amax(1) for part in self._batches(few)]
        self.unit = max(float(torch.cat(tops).median()), 1e-6)

    def best(self, weights: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Of pairs (popularity, content) in units the one with the greatest mean, the first of several, that costs
        full ranking overall nothing against the first pair."""
        gains, counts = torch.zeros(len(weights), 2, 2), torch.zeros(2)  # by protocol and group: overall, tail
        for part in self._batches(self.users):
            batch = self.asked.batch(part)
            negatives = self.asked.negatives(batch)
            real = (batch.targets != 0).cpu()
            popular = torch.from_numpy(self.dataset.item_counts[batch.targets.cpu().numpy()])
            tail = torch.as_tensor(self.dataset.thresholds.tail_items(popular)) & real
            groups = torch.stack([real, tail]).float()  # (2, B, T)
            counts += groups.sum((1, 2))
            linear = self.scorer.linear(batch.inputs)
            nearest = None if self.fallback.vectors is None else self.fallback.nearest(batch.inputs)
            for row, (popularity, content) in enumerate(weights):
                scores = linear + popularity * self.unit * self.fallback.popular
                if content and nearest is not None:
                    scores.add_(nearest, alpha=content * self.unit)
                whole = full_ranks(scores, batch.targets, batch.seen)[:, 0]
                few = sampled_ranks(scores, batch.targets, negatives)[:, 0]
                for protocol, ranks in enumerate((whole, few)):
                    gains[row, protocol] += (groups * _gain(ranks.cpu())).sum((1, 2))
        means = (gains / counts.clamp(min=1)).flatten(1).tolist()  # full ranking overall comes first
        judged = [math.prod(max(mean, FLOOR) for mean in row) if row[0] >= means[0][0] else 0.0 for row in means]
        return weights[judged.index(max(judged))]

    def _batches(self, users: np.ndarray) -> list[np.ndarray]:
        return list(in_order(users, self.dataset.split.input_lengths("valid"), self.batch_size))


def _gain(ranks: Tensor) -> Tensor:
    """What a target at each rank adds to NDCG@10."""
    return torch.where(ranks <= CUTOFF, 1 / torch.log2(1 + ranks.float()), 0.0)
