"""The recurrence at once equals the recurrence step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llmesr.encoders.gated import Block, Recurrence


def step_by_step(keep: Tensor, new: Tensor) -> Tensor:
    state, states = torch.zeros_like(new[:, 0]), []
    for step in range(new.shape[1]):
        state = keep[:, step] * state + new[:, step]
        states.append(state)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 200])
def test_states_and_gradients_equal_those_step_by_step(length: int) -> None:
    torch.manual_seed(0)
    keep = torch.rand(3, length, 4, dtype=torch.float64, requires_grad=True)
    new = torch.randn(3, length, 4, dtype=torch.float64, requires_grad=True)
    asked = torch.randn(3, length, 4, dtype=torch.float64)
    found, expected = Recurrence.apply(keep, new), step_by_step(keep, new)
    torch.testing.assert_close(found, expected)
    of_found = torch.autograd.grad((found * asked).sum(), (keep, new))
    torch.testing.assert_close(of_found, torch.autograd.grad((expected * asked).sum(), (keep, new)))


@pytest.mark.parametrize("kept", [0.0, 1e-30, 1.0])
def test_gates_that_are_shut_or_open_give_numbers(kept: float) -> None:
    keep = torch.full((1, 200, 1), kept, requires_grad=True)
    states = Recurrence.apply(keep, torch.ones(1, 200, 1))
    states.sum().backward()
    assert states[0, -1, 0].item() == pytest.approx(200 if kept == 1 else 1)
    assert keep.grad is not None
    assert keep.grad.isfinite().all()


def test_a_shut_update_gate_keeps_the_first_candidate() -> None:
    """Gates that shut after the first item: the state stays, as h_t = (1 - z_t) h_(t-1) + z_t c_t says."""
    block = Block(embedding_size=2, dropout=0.0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.recurrence_norm.weight.fill_(1)
        block.gates.weight[:2, 0] = 50.0  # the update gate opens for (1, -1) and shuts for (-1, 1)
        block.gates.bias[2:] = torch.tensor([3.0, -4.0])  # the candidate, whatever the item
        block.out.weight.copy_(torch.eye(2))
    x = torch.tensor([[[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]]])
    added = block(x) - x
    torch.testing.assert_close(added, torch.tensor([3.0, -4.0]).expand(1, 3, 2))
