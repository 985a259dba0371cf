"""EASE by hand, by its equations, and on each item's strongest others."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from llmesr.linear.evidence import Evidence
from llmesr.linear.interactions import gram
from llmesr.linear.kernel import Kernel, centred
from llmesr.linear.local import solve
from llmesr.linear.ridge import dense, repaired
from llmesr.linear.weights import Weights

N, USERS, E = 12, 40, 5


def evidence(*, text: bool, seed: int = 0, power: float = 2.0) -> Evidence:
    rng = np.random.default_rng(seed)
    chosen = np.zeros((USERS, N + 1), np.float32)
    chosen[:, 1:] = rng.uniform(size=(USERS, N)) < 0.3
    vectors = torch.from_numpy(rng.normal(size=(N + 1, E)))
    vectors[0] = 0
    kernels = [Kernel.of(vectors, 3.0, power)] if text else []
    return Evidence(gram(sparse.csr_matrix(chosen)), kernels)


def matrix(of: Evidence) -> torch.Tensor:
    """A = G + aK of items 1..N in float64."""
    every = torch.arange(1, N + 1)
    return of.among(every[None])[0].double()


def test_four_items_by_hand() -> None:
    """Two pairs that are always chosen together: (1, 2) by 3 users and (3, 4) by 1, ridge 1.

    The first block of G + I is [[4, 3], [3, 4]], its inverse [[4, -3], [-3, 4]] / 7, so B = 3/4 between 1 and 2;
    the second is [[2, 1], [1, 2]] with inverse [[2, -1], [-1, 2]] / 3, so B = 1/2 between 3 and 4; 0 across.
    """
    chosen = sparse.csr_matrix(np.array([[0, 1, 1, 0, 0]] * 3 + [[0, 0, 0, 1, 1]], np.float32))
    expected = torch.zeros(5, 5)
    expected[1, 2] = expected[2, 1] = 3 / 4
    expected[3, 4] = expected[4, 3] = 1 / 2
    made = Evidence(gram(chosen))
    torch.testing.assert_close(dense(made, 1.0).weights, expected)
    local = Weights.sparse(solve(made, torch.arange(1, 5), ridge=1.0, neighbours=3))
    torch.testing.assert_close(local.whole(), expected)


@pytest.mark.parametrize("text", [False, True])
def test_weights_are_where_the_constrained_problem_has_no_slope(text: bool) -> None:
    """The gradient of tr((I - B)' A (I - B)) + ridge |B|^2 is zero off the diagonal, and B is zero on it."""
    ridge, made = 2.0, evidence(text=text)
    known = matrix(made)
    weights = dense(made, ridge).weights[1:, 1:].double().requires_grad_()
    left = torch.eye(N, dtype=torch.float64) - weights
    (torch.trace(left.T @ known @ left) + ridge * weights.square().sum()).backward()
    assert weights.grad is not None
    slope = weights.grad - torch.diag(weights.grad.diagonal())
    assert slope.abs().max() < 1e-3
    assert not weights.diagonal().any()
    assert weights.grad.diagonal().abs().max() > 1  # only the constraint holds it there


@pytest.mark.parametrize("text", [False, True])
def test_all_others_as_candidates_is_the_dense_answer(text: bool) -> None:
    made = evidence(text=text)
    whole, local = dense(made, 2.0), solve(made, torch.arange(1, N + 1), ridge=2.0, neighbours=N - 1)
    torch.testing.assert_close(Weights.sparse(local).whole(), whole.weights, rtol=1e-4, atol=1e-5)
    if text:
        assert local.content is not None
        found = Weights.sparse(local)
        shares = Weights(found.content, found.items).whole()  # type: ignore[arg-type]
        torch.testing.assert_close(shares, whole.content, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", [False, True])
def test_partners_that_are_all_looked_at_give_what_all_items_give(text: bool) -> None:
    whole = evidence(text=text)
    near = np.tile(np.arange(N + 1, dtype=np.int32), (N + 1, 1))  # everybody, itself and partners twice among them
    searched = Evidence(whole.counts, whole.kernels, near=near)
    every = torch.arange(1, N + 1)
    of_all, found = (Weights.sparse(solve(e, every, ridge=2.0, neighbours=N - 1)) for e in (whole, searched))
    torch.testing.assert_close(found.whole(), of_all.whole(), rtol=1e-4, atol=1e-5)
    strengths = []
    for e in (whole, searched):  # of equals either may be chosen, so their strengths are compared
        _, behaviour, content = e.strongest(every, 3)
        strengths.append((behaviour if content is None else behaviour + content).sort(dim=1).values)
    torch.testing.assert_close(*strengths)


def test_only_frequent_partners_and_near_texts_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 1 was chosen with 2 three times and with 3 once; the nearest text is that of 4."""
    monkeypatch.setattr("llmesr.linear.evidence.COUNTED", 1)
    chosen = sparse.csr_matrix(np.array([[0, 1, 1, 0, 0]] * 3 + [[0, 1, 0, 1, 0]], np.float32))
    vectors = torch.zeros(5, 4)
    vectors[1:] = torch.tensor([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, -0.5]])
    near = np.zeros((5, 1), np.int32)
    near[1] = 4
    made = Evidence(gram(chosen), [Kernel(vectors, 1.0)], near=near)
    items, behaviour, content = made.strongest(torch.tensor([1]), 3)
    assert items.tolist() == [[2, 4]]
    assert behaviour.tolist() == [[3, 0]]
    assert content is not None
    assert content.tolist() == [[0, 0.5625]]  # (1 - 0.25)^2


def test_what_text_contributes_is_the_solution_for_its_own_right_hand_side() -> None:
    ridge, made = 2.0, evidence(text=True)
    known = matrix(made) + ridge * torch.eye(N, dtype=torch.float64)
    kernel = made.content(torch.arange(N + 1))
    assert kernel is not None
    content = dense(made, ridge).content
    assert content is not None
    for item in range(1, N + 1):
        others = [i for i in range(1, N + 1) if i != item]
        rows = torch.tensor(others) - 1
        expected = torch.linalg.solve(known[rows][:, rows], kernel[others, item].double())
        torch.testing.assert_close(content[others, item].double(), expected, rtol=1e-4, atol=1e-5)


def test_an_item_has_the_same_weights_in_whatever_block_it_is_solved() -> None:
    made = evidence(text=True)
    together = solve(made, torch.arange(1, N + 1), ridge=2.0, neighbours=4)
    alone = solve(made, torch.tensor([7]), ridge=2.0, neighbours=4)
    assert together.items[6].tolist() == alone.items[0].tolist()
    torch.testing.assert_close(together.weights[6], alone.weights[0])


def test_candidates_are_the_strongest_others() -> None:
    made = evidence(text=True)
    found = solve(made, torch.arange(1, N + 1), ridge=2.0, neighbours=3)
    known = matrix(made).fill_diagonal_(-1)
    for item, chosen in enumerate(found.items.tolist(), start=1):
        strengths = known[item - 1][torch.tensor(chosen) - 1]  # not the items: some are equally strong
        assert strengths.tolist() == known[item - 1].topk(3).values.tolist()


def test_items_nobody_chose_and_without_text_have_no_weights() -> None:
    chosen = sparse.csr_matrix(np.array([[0, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0]], np.float32))
    made = solve(Evidence(gram(chosen)), torch.arange(1, 6), ridge=1.0, neighbours=2)
    assert made.items[3:].tolist() == [[0, 0], [0, 0]]
    assert not made.weights[3:].any()
    assert made.weights.isfinite().all()


def test_counts_looked_up_one_by_one_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    items = torch.tensor([[3, 1, 7, 0], [N, 2, 0, 0]])
    whole = evidence(text=True).among(items)
    monkeypatch.setattr("llmesr.linear.evidence.DENSE_BYTES", 0)
    torch.testing.assert_close(evidence(text=True).among(items), whole)


def test_counts_times_a_matrix_strip_by_strip_are_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmesr.linear.evidence.STRIP", 5)  # of 13 columns the last strip is narrower
    made, right = evidence(text=False), torch.randn(N + 1, N + 1, dtype=torch.float64).T
    torch.testing.assert_close(made.times_counts(right), torch.from_numpy(made.counts.toarray()).double() @ right)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_kernel_is_zero_without_text_one_with_itself_and_never_negative(power: float) -> None:
    vectors = torch.randn(N + 1, E)
    vectors[[0, 4]] = 0
    kernel = Kernel.of(vectors, 1.0, power)
    rows = kernel.rows(torch.arange(N + 1))
    assert not rows[[0, 4]].any()
    assert (rows >= 0).all()
    known = torch.tensor([i for i in range(1, N + 1) if i != 4])
    torch.testing.assert_close(rows.diagonal()[known], torch.ones(N - 1))
    torch.testing.assert_close(centred(vectors)[known].norm(dim=1), torch.ones(N - 1))
    torch.testing.assert_close(kernel.among(known[None])[0], rows[known][:, known])


def test_texts_that_are_all_the_same_are_not_told_apart_by_rounding() -> None:
    vectors = torch.randn(1, E).expand(N + 1, E).clone()
    vectors[0] = 0
    assert not centred(vectors).any()
    vectors[3] += 0.1
    assert centred(vectors)[3].norm() == pytest.approx(1)


def test_a_power_of_two_is_positive_semidefinite_before_negative_cosines_are_cut_off() -> None:
    vectors = centred(torch.randn(60, 4))
    cosines = (vectors @ vectors.T).double()
    assert torch.linalg.eigvalsh(cosines.square())[0] > -1e-6
    assert torch.linalg.eigvalsh(cosines.clamp(min=0).square())[0] < -1e-3  # why there is a repair


def test_evidence_that_is_not_positive_definite_is_repaired_and_says_so() -> None:
    indefinite = torch.tensor([[1.0, 3.0], [3.0, 1.0]], dtype=torch.float64)  # eigenvalues 4 and -2
    factor, shift = repaired(indefinite, 0.5)
    assert shift == pytest.approx(1.5 + 0.5e-3)
    torch.testing.assert_close(factor @ factor.T, indefinite + (0.5 + shift) * torch.eye(2, dtype=torch.float64))
    assert repaired(indefinite, 2.5)[1] == 0.0
    # Many vectors in few directions with a large weight: the cut-off kernel outweighs counts and ridge.
    rng = torch.Generator().manual_seed(1)
    text = torch.randn(61, 4, generator=rng)
    text[0] = 0
    empty = sparse.csr_matrix((61, 61), dtype=np.float32)
    made = Evidence(empty, [Kernel.of(text, 100.0, 2.0)])
    whole = dense(made, 0.1)
    assert whole.shift > 0
    local = solve(made, torch.arange(1, 61), ridge=0.1, neighbours=59)
    assert local.shifted > 0
    assert whole.weights.isfinite().all()
    assert local.weights.isfinite().all()
