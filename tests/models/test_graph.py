"""Starts that are spread over the graph of users and items: by hand, and what each of its two settings does."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from torch.nn.functional import cosine_similarity

from llmesr.models.graph import spread
from llmesr.models.tables import IdTable

# User 0 chose items 1 and 3, user 1 chose 2 and 3, user 2 only 4; nobody chose 5.
CHOSEN = sparse.csr_matrix(np.array([[0, 1, 0, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]], np.float32))
N, D = 5, 16


def vectors() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def by_hand(start: torch.Tensor, steps: int) -> torch.Tensor:
    """LightGCN over all nodes: users have none of their own, so that a step here is two of its layers."""
    edge = 1 / np.sqrt(2)  # users 0 and 1 have two items; item 3 has two users
    whole = torch.zeros(3, N)
    whole[0, 0], whole[0, 2], whole[1, 1], whole[1, 2], whole[2, 3] = edge, edge * edge, edge, edge * edge, 1.0
    items = whole.T @ whole
    items[4, 4] = 1.0  # item 5 keeps its own
    layers = [torch.linalg.matrix_power(items, k) @ start for k in range(steps + 1)]
    mean = torch.stack(layers).mean(0)
    made: torch.Tensor = mean * start.norm() / mean.norm()
    return made


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_it_is_the_mean_of_the_layers_as_strong_as_the_start(steps: int) -> None:
    found = spread(vectors(), CHOSEN, steps=steps)
    torch.testing.assert_close(found, by_hand(vectors(), steps))
    assert float(found.norm()) == pytest.approx(float(vectors().norm()), rel=1e-5)


def test_items_that_share_only_neighbours_move_together() -> None:
    """Items 1 and 2 have no user in common, but item 3 stands beside both."""
    before, after = vectors(), spread(vectors(), CHOSEN, steps=2)
    assert cosine_similarity(after[0], after[1], 0) > cosine_similarity(before[0], before[1], 0) + 0.1
    apart = cosine_similarity(before[0], before[3], 0)  # item 4 is out of reach
    assert abs(cosine_similarity(after[0], after[3], 0)) < abs(apart) + 0.1


def test_an_item_out_of_reach_keeps_its_direction() -> None:
    before, after = vectors(), spread(vectors(), CHOSEN, steps=3)
    for alone in (3, 4):
        assert float(cosine_similarity(before[alone], after[alone], 0)) == pytest.approx(1.0)
    assert torch.allclose(after[3] / before[3], after[4] / before[4])  # the one factor of all


def test_the_weight_mixes_with_what_was_there() -> None:
    whole, half = (spread(vectors(), CHOSEN, steps=1, weight=w) for w in (1.0, 0.5))
    near = [float(cosine_similarity(found[0], vectors()[0], 0)) for found in (whole, half)]
    assert near[0] < near[1] < 1


@pytest.mark.parametrize("off", [{"steps": 0}, {"steps": 2, "weight": 0.0}])
def test_off_it_is_bit_for_bit_what_was_there(off: dict[str, float]) -> None:
    assert torch.equal(spread(vectors(), CHOSEN, **off), vectors())  # type: ignore[arg-type]


def test_a_table_spreads_its_items_and_nothing_else() -> None:
    tables = []
    for change in (None, lambda start: start * 2):
        torch.manual_seed(3)
        tables.append(IdTable(N, D, spread=change).vectors.detach())
    plain, doubled = tables
    assert torch.equal(doubled[1 : N + 1], plain[1 : N + 1] * 2)
    assert torch.equal(doubled[[0, N + 1]], plain[[0, N + 1]])
