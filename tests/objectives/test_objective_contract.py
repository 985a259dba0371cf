"""What every objective promises the loop: tensors that move with it, and a state that can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from llmesr.objectives.base import EncodedBatch, Objective
from llmesr.objectives.terms import Alignment, Distillation, NextItem

USERS, ITEMS, D = 4, 6, 8


def next_item() -> Objective:
    return NextItem(loss="ce", negatives=None, calibration=0.75)


def distillation() -> Objective:
    similar = torch.tensor([[1, 2], [0, -1], [-1, -1], [2, 0]])
    return Distillation(similar=similar, kind="mse", weight=0.1, every=2)


def alignment() -> Objective:
    return Alignment(reference=torch.randn(ITEMS + 1, D), weight=0.3, temperature=0.1)


@pytest.mark.parametrize("make", [next_item, distillation, alignment])
def test_every_tensor_of_an_objective_is_a_buffer(make: Callable[[], Objective]) -> None:
    """``meta`` stands for another device: a tensor that stays behind would be found on the CPU."""
    objective = make().to("meta")
    loose = [name for name, value in vars(objective).items() if isinstance(value, torch.Tensor)]
    assert loose == []
    assert {buffer.device.type for buffer in objective.buffers()} <= {"meta"}
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}  # nothing of it belongs into the weights of a model


@pytest.mark.parametrize("make", [next_item, distillation, alignment])
def test_refresh_state_and_load_are_always_there(make: Callable[[], Objective]) -> None:
    first, second = make(), make()
    first.refresh(0, lambda: torch.ones(USERS + 1, D))
    state = first.state()
    assert all(key.startswith(first.name) for key in state)
    second.load({**state, "of another objective": torch.zeros(1)})
    assert second.state().keys() == state.keys()
    for key, value in second.state().items():
        torch.testing.assert_close(value, state[key])


def test_teachers_are_renewed_at_the_epoch_and_every_so_many_steps() -> None:
    objective = distillation()
    batch = cast(EncodedBatch, SimpleNamespace(users=torch.tensor([0, 1, 2]), user_states=torch.zeros(3, 1)))
    with pytest.raises(RuntimeError, match="refresh"):
        objective(batch)
    states = torch.tensor([[0.0], [2.0], [4.0], [6.0], [0.0]])  # the last one is nobody's
    objective.refresh(0, lambda: states)
    # User 0 learns from 1 and 2 (3), user 1 from 0 (0), user 2 from nobody: (9 + 0) / 2 users with a teacher.
    assert float(objective(batch)) == pytest.approx(4.5)
    objective.refresh(1, lambda: states + 1)
    assert float(objective(batch)) == pytest.approx(4.5)
    objective.refresh(2, lambda: states + 1)
    assert float(objective(batch)) == pytest.approx((16 + 1) / 2)
