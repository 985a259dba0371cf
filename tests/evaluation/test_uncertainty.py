"""Users and seeds by hand; benchmarks/claims.py simulates coverage, false alarms and what equivalence promises."""

from __future__ import annotations

import numpy as np
import pytest

from llmesr.evaluation.uncertainty import Error, bound, detectable, error_of, users_needed, widen


def test_one_seed_leaves_the_error_of_the_users() -> None:
    values = np.array([[0.0], [1.0], [1.0], [0.0]])
    error = error_of(values, [values[None]], [False])
    assert error.users[0] == pytest.approx(np.var(values, ddof=1) / 4)
    assert error.seeds[0] == 0
    assert error.df[0] == 3


def test_seeds_that_differ_by_a_constant_add_the_variance_of_their_mean() -> None:
    users = np.linspace(0, 1, 50)[:, None]
    arm = np.stack([users, users + 0.1, users + 0.2])  # (3, 50, 1): no user is luckier than another
    error = error_of(arm.mean(axis=0), [arm], [False])
    assert error.seeds[0] == pytest.approx(0.1**2 / 3)  # variance of the seeds is .01
    v, u = error.seeds[0], error.users[0]
    assert error.df[0] == pytest.approx((u + v) ** 2 / (u**2 / 49 + v**2 / 2))


def test_luck_that_is_hardly_more_than_noise_leaves_the_interval_finite() -> None:
    """Arms that agree user by user, so that the difference is sure, while the seeds of each differ a little more than
    the noise in them explains: the degrees of freedom are those of the seeds, and not next to none."""
    rng = np.random.default_rng(0)
    own, noise = rng.normal(size=(1, 2000, 1)), rng.normal(size=(3, 2000, 1))
    noise -= noise.mean(axis=(0, 1))
    rest = noise.var() / 2000
    shift = np.sqrt(1.3 * rest) * np.array([-1.0, 0.0, 1.0])[:, None, None]
    noise = noise - noise.mean(axis=1, keepdims=True) + shift
    one, other = own + noise, own + noise[::-1]
    per_user = one.mean(axis=0) - other.mean(axis=0) + 1e-4 * rng.normal(size=(2000, 1))
    error = error_of(per_user, [one, other], [False, False])
    assert error.seeds[0] > 0
    assert error.df[0] >= 4
    assert error.quantile()[0] < 3


def test_a_lone_seed_borrows_from_the_other_side_unless_it_has_no_luck() -> None:
    users = np.linspace(0, 1, 50)[:, None]
    arm, lone = np.stack([users, users + 0.1, users + 0.2]), users[None]
    difference = arm.mean(axis=0) - lone.mean(axis=0)
    assert error_of(difference, [arm, lone], [False, False]).seeds[0] == pytest.approx(0.01 * (1 / 3 + 1))
    assert error_of(difference, [arm, lone], [False, True]).seeds[0] == pytest.approx(0.01 / 3)


def test_a_single_pair_of_seeds_never_counts_as_no_luck() -> None:
    """Two seeds that happen to agree on the mean, while users vary: with more seeds that would be no luck at all."""
    noise = np.random.default_rng(2).normal(size=(2, 40, 1))
    agreeing = noise - noise.mean(axis=1, keepdims=True)
    lone = np.zeros((1, 40, 1))
    error = error_of(agreeing.mean(axis=0), [agreeing, lone], [False, False])
    left = agreeing - agreeing.mean(axis=0)
    assert error.seeds[0] == pytest.approx((left**2).sum() / 39 / 40 * 1.5)
    assert error.df[0] < 10
    assert error_of(agreeing.mean(axis=0), [agreeing, agreeing], [False, False]).seeds[0] == 0


def test_a_widened_interval_keeps_its_lopsidedness() -> None:
    error = Error(np.array([1.0]), np.array([3.0]), np.array([1e9]))
    low, high = widen(np.array([5.0]), np.array([4.0]), np.array([8.0]), error)
    assert (low[0], high[0]) == (pytest.approx(3.0), pytest.approx(11.0))  # twice the standard error, twice as wide


def test_equivalence_and_power_by_hand() -> None:
    error = Error(np.array([0.01**2]), np.array([0.0]), np.array([1e9]))
    assert bound(np.array([-0.02]), error)[0] == pytest.approx(0.02 + 1.645 * 0.01, abs=1e-5)
    assert detectable(error)[0] == pytest.approx((1.96 + 0.8416) * 0.01, abs=1e-5)
    assert users_needed(detectable(error)[0], 700, 0.01) == pytest.approx(700, abs=1)
    assert users_needed(0.01, 700, 0.01, error_seeds=0.01) == np.inf
    assert users_needed(0.0, 700, 0.01) == np.inf
