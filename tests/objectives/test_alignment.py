"""The alignment of LLMEmb: what it asks of items whose vectors are short."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from llmesr.objectives.terms import Alignment

N, D = 30, 16


def step(items: torch.Tensor, targets: list[int]) -> Any:
    return SimpleNamespace(targets=torch.tensor(targets), model=SimpleNamespace(embed_items=lambda at: items[at]))


@pytest.fixture
def reference() -> torch.Tensor:
    torch.manual_seed(0)
    return F.normalize(torch.randn(N + 1, D), dim=1) * 0.3  # as long as those of a trained id run


def test_infonce_over_cosines_by_hand(reference: torch.Tensor) -> None:
    items = torch.randn(N + 1, D)
    term = Alignment(reference=reference, weight=1.0, temperature=0.5, cosine=True)
    found = float(term(step(items, [4, 2, 4, 9])))  # item 4 once
    cosine = [[float(F.cosine_similarity(items[a], reference[b], dim=0)) / 0.5 for b in (2, 4, 9)] for a in (2, 4, 9)]
    rows = [math.log(sum(math.exp(c) for c in row)) - row[i] for i, row in enumerate(cosine)]
    columns = [math.log(sum(math.exp(c) for c in row)) - row[i] for i, row in enumerate(zip(*cosine, strict=True))]
    assert found == pytest.approx((sum(rows) + sum(columns)) / 6, rel=1e-5)
    assert term.examples(step(items, [4, 2, 4, 9])) == 3


def test_cosines_tell_aligned_items_from_others_whatever_their_length(reference: torch.Tensor) -> None:
    everyone = step(reference, list(range(1, N + 1)))
    chance = math.log(N)
    cosine = Alignment(reference=reference, weight=1.0, temperature=0.1, cosine=True)
    short = Alignment(reference=reference / 100, weight=1.0, temperature=0.1, cosine=True)
    torch.testing.assert_close(cosine(everyone), short(everyone))
    assert cosine(everyone) < 0.05 * chance
    published = Alignment(reference=reference, weight=1.0, temperature=2.0)
    assert published(everyone) > 0.99 * chance  # aligned or not, it cannot tell
    others = step(reference.roll(1, 0), list(range(1, N + 1)))
    assert cosine(others) > chance
    torch.testing.assert_close(published(others), published(everyone), rtol=0.01, atol=0)
