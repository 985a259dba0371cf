"""The contrastive loss against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.objectives.contrastive import soft_contrastive


def test_two_orthogonal_rows_by_hand() -> None:
    # x = y = I: logits = I / 2, similarities = I, target row = softmax(2 * [1, 0]).
    eye = torch.eye(2)
    own = math.exp(2) / (math.exp(2) + 1)
    log_own = 0.5 - math.log(math.exp(0.5) + 1)
    log_other = -math.log(math.exp(0.5) + 1)
    expected = -(own * log_own + (1 - own) * log_other)
    assert soft_contrastive(eye, eye, 2.0).item() == pytest.approx(expected, abs=1e-6)


def test_unequal_rows_by_hand() -> None:
    # x = [[1], [2]], y = [[3], [0]], tau = 1: logits [[3, 0], [6, 0]],
    # similarities ([[1, 2], [2, 4]] + [[9, 0], [0, 0]]) / 2.
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [0.0]])

    def softmax(a: float, b: float) -> tuple[float, float]:
        return math.exp(a) / (math.exp(a) + math.exp(b)), math.exp(b) / (math.exp(a) + math.exp(b))

    targets = [softmax(5, 1), softmax(1, 2)]
    forward = [softmax(3, 0), softmax(6, 0)]
    backward = [softmax(3, 6), softmax(0, 0)]
    cross = [
        -sum(t * math.log(p) for t, p in zip(target, row, strict=True))
        for rows in (forward, backward)
        for target, row in zip(targets, rows, strict=True)
    ]
    assert soft_contrastive(x, y, 1.0).item() == pytest.approx(sum(cross) / 4, abs=1e-5)


def test_hard_targets_are_infonce() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    # logits diag(2, 2) / 0.5 both ways
    assert soft_contrastive(x, y, 0.5, targets="hard").item() == pytest.approx(math.log(1 + math.exp(-4)), abs=1e-6)


def test_normalising_ignores_length() -> None:
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    a = soft_contrastive(x, y, 0.1, normalise=True, targets="hard")
    b = soft_contrastive(7 * x, 0.2 * y, 0.1, normalise=True, targets="hard")
    assert a.item() == pytest.approx(b.item(), abs=1e-5)


def test_reference_decides_who_belongs_together() -> None:
    x, y = torch.eye(2) * 3, torch.eye(2) * 3
    apart = soft_contrastive(x, y, 1.0, reference=torch.eye(2) * 10)
    together = soft_contrastive(x, y, 1.0, reference=torch.ones(2, 1))
    assert apart < together


def test_targets_can_be_kept_out_of_the_gradient() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    y = torch.randn(4, 3)
    through = torch.autograd.grad(soft_contrastive(x, y, 1.0), x)[0]
    around = torch.autograd.grad(soft_contrastive(x, y, 1.0, detach_targets=True), x)[0]
    assert not torch.allclose(through, around)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(1, 6), st.floats(0.1, 5.0), st.integers(0, 10_000))
def test_order_of_rows_and_of_views_does_not_matter(rows: int, size: int, tau: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(rows, size, generator=generator), torch.randn(rows, size, generator=generator)
    loss = soft_contrastive(x, y, tau)
    shuffled = torch.randperm(rows, generator=generator)
    torch.testing.assert_close(soft_contrastive(x[shuffled], y[shuffled], tau), loss, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(soft_contrastive(y, x, tau), loss, rtol=1e-4, atol=1e-4)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        soft_contrastive(torch.zeros(2, 3), torch.zeros(3, 3), 1.0)
