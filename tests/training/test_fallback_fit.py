"""The weights that rank the rest of the catalogue come from validation."""

from __future__ import annotations

import torch

from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.table import event_metrics
from llmesr.linear.counted import cosines
from llmesr.linear.fallback import Fallback
from llmesr.linear.interactions import chosen, gram
from llmesr.linear.scorer import LinearScorer
from llmesr.training.fallback import fit_fallback


def fitted(data: Dataset, *, popularity: bool = True) -> tuple[LinearScorer, Fallback, tuple[float, float]]:
    counts = torch.from_numpy(data.item_counts)
    weights = cosines(gram(chosen(data)), shrinkage=10.0, neighbours=3)
    scorer, fallback = LinearScorer(weights, decay=0.8), Fallback(counts)
    weights_found = fit_fallback(scorer, fallback, data, Sequences(data), max_length=50, popularity=popularity)
    return scorer, fallback, weights_found


def test_ties_are_broken_by_popularity_and_full_ranking_pays_nothing(tiny: Dataset) -> None:
    scorer, fallback, (popularity, content) = fitted(tiny)
    assert content == 0  # no vectors
    fallback.popularity = popularity
    ranked = LinearScorer(scorer.weights, decay=0.8, fallback=fallback)
    before, after = (event_metrics(evaluate(s, tiny, "valid").frame, tiny.thresholds) for s in (scorer, ranked))
    assert popularity > 0
    assert after["full/Overall/NDCG@10"] >= before["full/Overall/NDCG@10"]
    assert after["uni100/Overall/NDCG@10"] > before["uni100/Overall/NDCG@10"]


def test_popularity_can_be_left_out(tiny: Dataset) -> None:
    assert fitted(tiny, popularity=False)[2] == (0.0, 0.0)
