"""Re-rankers against lists small enough to solve by hand, and their laws by hypothesis."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.scoring.rerankers import RERANKERS, Candidates, RerankConfig, popularity_classes, rerank


def candidates(
    scores: Any, vectors: Any = None, popularity: Any = None, classes: Any = None, history: Any = (1, 1, 1)
) -> Candidates:
    n = len(scores)
    return Candidates(
        scores=np.array(scores, float),
        vectors=np.array(vectors, float) if vectors is not None else np.eye(n),
        popularity=np.array(popularity if popularity is not None else [1] * n),
        classes=np.array(classes if classes is not None else [0] * n),
        history=np.array(history),
    )


@st.composite
def lists(draw: Any) -> Any:
    n = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return Candidates(
        scores=np.sort(rng.normal(size=n))[::-1],
        vectors=rng.normal(size=(n, 4)) * (rng.random((n, 1)) > 0.2),
        popularity=rng.integers(0, 50, n),
        classes=rng.integers(0, 3, n),
        history=rng.integers(0, 4, 3),
    )


@pytest.mark.parametrize("name", RERANKERS)
@settings(max_examples=40, deadline=None)
@given(data=lists(), k=st.integers(0, 15), strength=st.floats(0, 1))
def test_an_order_is_k_different_candidates_and_the_same_every_time(
    name: str, data: Candidates, k: int, strength: float
) -> None:
    config = RerankConfig(name=name, strength=strength)
    order = rerank(config, data, k)
    assert len(order) == min(k, len(data.scores))
    assert len(set(order.tolist())) == len(order)
    assert np.array_equal(order, rerank(config, data, k))


@pytest.mark.parametrize("name", RERANKERS)
def test_strength_zero_keeps_the_order(name: str) -> None:
    data = candidates([3, 2, 1, 0], popularity=[9, 5, 1, 0], classes=[0, 0, 1, 2])
    assert rerank(RerankConfig(name=name, strength=0), data, 3).tolist() == [0, 1, 2]


def test_mmr_skips_the_near_copy() -> None:
    # relevance 1, .9, .5, 0; item 1 is a copy of item 0, item 2 is orthogonal
    data = candidates([10, 9, 5, 0], [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    # second slot at strength .5: copy .45 - .5 = -.05; other .25 - 0 = .25; last 0
    assert rerank(RerankConfig(name="mmr", strength=0.5), data, 3).tolist() == [0, 2, 3]
    assert rerank(RerankConfig(name="mmr", strength=0.1), data, 3).tolist() == [0, 1, 2]


def test_dpp_takes_the_largest_determinant_at_each_step() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(7, 4))
    data = candidates(np.sort(rng.normal(size=7))[::-1], vectors)
    strength = 0.6
    order = rerank(RerankConfig(name="dpp", strength=strength), data, 4)
    quality = np.exp((1 - strength) / (2 * strength) * data.relevance)
    kernel = quality[:, None] * (1 + data.cosines) / 2 * quality
    chosen: list[int] = []
    for _ in range(4):  # the definition, by determinants
        left = [i for i in range(7) if i not in chosen]
        chosen.append(max(left, key=lambda i: np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])])))
    assert order.tolist() == chosen


def test_dpp_survives_copies() -> None:
    data = candidates([4, 3, 2, 1], [[1, 0]] * 4)
    assert rerank(RerankConfig(name="dpp", strength=0.9), data, 4).tolist() == [0, 1, 2, 3]


def test_calibration_matches_the_history() -> None:
    # eight head items score highest, yet half of the history is tail
    data = candidates(np.arange(12, 0, -1), classes=[0] * 8 + [2] * 4, history=(5, 0, 5))
    order = rerank(RerankConfig(name="calibrated", strength=0.95), data, 4)
    assert sorted(data.classes[order].tolist()) == [0, 0, 2, 2]
    same = candidates(np.arange(12, 0, -1), classes=[0] * 8 + [2] * 4, history=(5, 0, 0))
    assert rerank(RerankConfig(name="calibrated", strength=0.95), same, 4).tolist() == [0, 1, 2, 3]


def test_epsilon_explores_at_its_rate() -> None:
    data = candidates(np.arange(100, 0, -1))
    config = RerankConfig(name="epsilon", strength=0.3)
    kept = [rerank(config, data, 1, np.random.default_rng(seed))[0] == 0 for seed in range(2000)]
    assert np.mean(kept) == pytest.approx(0.7 + 0.3 / 100, abs=0.04)
    assert not np.array_equal(
        rerank(RerankConfig(name="epsilon", strength=1, seed=1), data, 10),
        rerank(RerankConfig(name="epsilon", strength=1, seed=2), data, 10),
    )


def test_ucb_gives_its_last_slots_to_the_least_known() -> None:
    # equal relevance except for the top two, which stay where they are
    data = candidates([9, 8, 5, 5, 5, 5], popularity=[50, 50, 50, 0, 7, 50])
    assert rerank(RerankConfig(name="ucb", strength=0.5), data, 4).tolist() == [0, 1, 3, 4]


def test_popularity_classes_split_the_interactions_in_fifths() -> None:
    # 50 of 100 interactions in item 1, then 30 in items 2-4, then 20 single ones
    counts = np.array([0, 50, 10, 10, 10] + [1] * 20)
    assert popularity_classes(counts).tolist() == [2, 0, 1, 1, 1] + [2] * 20


def test_greedy_mmr_is_close_to_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    data = candidates(np.sort(rng.random(6))[::-1], rng.normal(size=(6, 3)))

    def value(chosen: Any) -> Any:
        pairs = [data.cosines[a, b] for a, b in itertools.combinations(chosen, 2)]
        return 0.5 * data.relevance[list(chosen)].sum() - 0.5 * max(pairs)

    greedy = rerank(RerankConfig(name="mmr", strength=0.5), data, 3)
    best = max(value(c) for c in itertools.combinations(range(6), 3))
    plain = value((0, 1, 2))
    assert value(greedy) >= plain
    assert value(greedy) >= best - 0.5
