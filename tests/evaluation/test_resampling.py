"""The statistics proved by simulation: intervals cover, tests reject as often as they say.

Columns are independent experiments, so hundreds of them cost one matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from llmesr.evaluation import resampling
from llmesr.evaluation.resampling import adjust, bootstrap_means, intervals, sign_flip_test, wilcoxon_test


def ndcg(rng: Any, shape: Any, hit: Any) -> Any:
    """Per-user NDCG@10 of a model that hits with probability ``hit`` at a uniform rank."""
    gain = 1 / np.log2(rng.integers(1, 11, shape) + 1)
    return np.where(rng.random(shape) < hit, gain, 0.0)


@pytest.mark.parametrize(("users", "hit"), [(60, 0.3), (400, 0.05), (1200, 0.6)])
@pytest.mark.parametrize("kind", ["HR", "NDCG"])
def test_intervals_cover_at_their_nominal_rate(users: Any, hit: Any, kind: Any) -> None:
    rng = np.random.default_rng(1)
    values = (rng.random((users, 600)) < hit).astype(float) if kind == "HR" else ndcg(rng, (users, 600), hit)
    truth = hit if kind == "HR" else hit * np.mean(1 / np.log2(np.arange(1, 11) + 1))
    low, high = intervals(values, resamples=1000)
    covered = np.mean((low <= truth) & (truth <= high))
    assert 0.92 <= covered <= 0.975  # 600 experiments: standard error .009; discreteness moves it a little


def test_a_wider_level_is_wider() -> None:
    values = ndcg(np.random.default_rng(2), (200, 5), 0.3)
    low95, high95 = intervals(values)
    low80, high80 = intervals(values, level=0.8)
    assert (low95 < low80).all()
    assert (high80 < high95).all()


def test_intervals_agree_with_scipy() -> None:
    values = ndcg(np.random.default_rng(3), 150, 0.2)
    low, high = intervals(values[:, None], resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0), batch=2000)
    assert low[0] == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert high[0] == pytest.approx(theirs.confidence_interval.high, abs=0.003)


@pytest.mark.parametrize("users", [300, 3000])  # drawn by number below 1,000 users, by Poisson weights above
def test_the_bootstrap_distribution_is_the_textbook_one(users: Any) -> None:
    rng = np.random.default_rng(4)
    values = np.zeros((users, 1))
    values[:20, 0] = rng.random(20)
    draws = bootstrap_means(values, 10_000)[:, 0]
    assert draws.mean() == pytest.approx(values.mean(), rel=0.02)
    assert draws.std() == pytest.approx(values.std() / np.sqrt(users), rel=0.03)


@pytest.mark.parametrize("users", [300, 3000])
def test_an_interval_is_the_same_whoever_stands_beside(users: Any) -> None:
    values = ndcg(np.random.default_rng(9), (users, 4), 0.1)
    beside = np.array(intervals(values))  # (low and high, columns)
    for c in range(4):
        assert np.array(intervals(values[:, [c]]))[:, 0] == pytest.approx(beside[:, c], abs=1e-12)


def test_rows_are_drawn_together_in_every_column() -> None:
    """The difference of two means is the mean of the differences, resample by resample."""
    first, second = ndcg(np.random.default_rng(10), (2, 2500), 0.2)
    apart = bootstrap_means(first[:, None], 50) - bootstrap_means(second[:, None], 50)
    assert apart == pytest.approx(bootstrap_means((first - second)[:, None], 50), abs=1e-6)


def test_a_share_of_everybody_is_everybody() -> None:
    assert bootstrap_means(np.ones((2500, 1)), 6) == pytest.approx(np.ones((6, 1)))


def test_no_difference_at_all_is_doubted_on_both_sides() -> None:
    low, high = intervals(np.zeros((300, 1)), differences=True)
    assert high[0] == pytest.approx(1 - 0.025 ** (1 / 300))
    assert low[0] == -high[0]


def test_one_value_alone_has_no_interval() -> None:
    assert np.isnan(intervals(np.array([[0.5]]))).all()
    assert intervals(np.ones((1, 1)))[0][0] < 1


def test_no_hit_at_all_is_not_certainty() -> None:
    low, high = intervals(np.zeros((40, 1)))
    assert (low[0], high[0]) == (0, pytest.approx(1 - 0.025 ** (1 / 40)))
    low, high = intervals(np.ones((40, 1)))
    assert (low[0], high[0]) == (pytest.approx(0.025 ** (1 / 40)), 1)
    low, high = intervals(np.zeros((0, 2)))
    assert np.isnan([low, high]).all()


def correlated_pair(rng: Any, users: Any, experiments: Any, lift: Any) -> Any:
    """Values of two models on the same users: difficulty is shared, ``lift`` raises the second's chances."""
    easy = rng.random((users, experiments)) < 0.5
    first = ndcg(rng, (users, experiments), 0.3) * easy
    return first, ndcg(rng, (users, experiments), 0.3 + lift) * easy


@pytest.mark.parametrize("users", [30, 300])
@pytest.mark.parametrize("test", [lambda d: sign_flip_test(d, resamples=999), wilcoxon_test], ids=["flip", "wilcoxon"])
def test_false_positive_rate_is_what_it_says(users: Any, test: Any) -> None:
    first, second = correlated_pair(np.random.default_rng(5), users, 1000, 0.0)
    p = test(second - first)
    assert np.mean(p <= 0.05) <= 0.07  # standard error .007
    assert np.mean(p <= 0.01) <= 0.02
    if users == 300:  # with 30 users too few differences are possible values to reach 5% exactly
        assert np.mean(p <= 0.05) >= 0.03


def test_a_true_difference_is_found() -> None:
    first, second = correlated_pair(np.random.default_rng(6), 2000, 50, 0.15)
    p = sign_flip_test(second - first, resamples=999)
    assert np.mean(p <= 0.05) > 0.9


def test_false_discoveries_are_controlled() -> None:
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(60):
        null = np.subtract(*correlated_pair(rng, 150, 30, 0.0))
        real = np.subtract(*correlated_pair(rng, 150, 10, 0.6))
        found = adjust(sign_flip_test(np.hstack([null, real]), resamples=999)) <= 0.1
        shares.append(found[:30].sum() / max(1, found.sum()))
        assert found[30:].mean() > 0.5
    assert np.mean(shares) <= 0.1  # at most 0.1 * 30 / 40 is expected


def test_sign_flip_equals_counting_every_assignment() -> None:
    d = np.array([0.5, 0.5, 0.63, -0.3, 1.0, 0.0, -0.5])
    signs = 1 - 2 * ((np.arange(2**7)[:, None] >> np.arange(7)) & 1)
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-9)
    assert sign_flip_test(d[:, None], resamples=20_000)[0] == pytest.approx(exact, abs=0.01)


def test_hits_reduce_to_the_binomial_test() -> None:
    d = np.concatenate([np.ones(30), -np.ones(14), np.zeros(500)])[:, None]
    assert sign_flip_test(d)[0] == pytest.approx(stats.binomtest(30, 44).pvalue, abs=0.006)


def test_no_difference_gives_p_one_and_p_is_never_zero() -> None:
    assert sign_flip_test(np.zeros((10, 2))).tolist() == [1, 1]
    assert wilcoxon_test(np.zeros((10, 2))).tolist() == [1, 1]
    assert sign_flip_test(np.ones((100, 1)), resamples=999)[0] == pytest.approx(0.001)


def test_p_is_the_same_whoever_stands_beside() -> None:
    first, second = correlated_pair(np.random.default_rng(9), 3000, 3, 0.02)
    differences = second - first
    differences[::2, 0] = 0  # whoever moves in no column but the others' has a place of his own all the same
    beside = sign_flip_test(differences, resamples=999)
    for c in range(3):
        assert sign_flip_test(differences[:, [c]], resamples=999)[0] == beside[c]


def test_blocks_of_resamples_hold_the_memory_and_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = correlated_pair(np.random.default_rng(8), 200, 2, 0.1)
    before = sign_flip_test(second - first, resamples=4000)
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    monkeypatch.setattr(resampling, "_ROWS", 30)
    assert sign_flip_test(second - first, resamples=4000) == pytest.approx(before)
    low, high = intervals(second)
    assert (low < second.mean(0)).all()
    assert (second.mean(0) < high).all()


def test_adjustment_by_hand() -> None:
    # Benjamini-Hochberg of .01, .02, .03, .5: p * 4 / rank, made monotone from the largest down.
    adjusted = adjust(np.array([0.03, np.nan, 0.01, 0.5, 0.02]))
    assert adjusted[[0, 2, 3, 4]] == pytest.approx([0.04, 0.04, 0.5, 0.04])
    assert np.isnan(adjusted[1])
    assert np.isnan(adjust(np.array([np.nan]))).all()
