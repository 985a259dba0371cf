"""Losses against hand-computed values and against plain autograd."""

import math

import pytest
import torch
from torch.nn import functional as F

from llmesr.objectives import distillation, next_item
from llmesr.objectives.terms import NextItem


def test_chunked_cross_entropy_equals_the_plain_one_with_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    table = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 2, 3, 4, 5, 5, 1])
    logits = hidden @ table.T
    plain = F.cross_entropy(logits[:, 1:], targets - 1)
    expected = torch.autograd.grad(2 * plain, [hidden, table])
    monkeypatch.setitem(next_item.LOGITS_AT_ONCE, "cpu", 12)
    monkeypatch.setattr(next_item, "ROWS", 2)
    ours = next_item.cross_entropy(hidden, table, targets)
    torch.testing.assert_close(float(ours.detach()), float(plain.detach()), atol=1e-6, rtol=1e-6)
    for found, wanted in zip(torch.autograd.grad(2 * ours, [hidden, table]), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_padding_is_no_candidate() -> None:
    hidden = torch.tensor([[1.0]])
    table = torch.tensor([[1000.0], [0.0], [0.0]])
    assert float(next_item.cross_entropy(hidden, table, torch.tensor([1]))) == pytest.approx(math.log(2))


def test_binary_cross_entropy_by_hand() -> None:
    # -log sigmoid(0) - log(1 - sigmoid(ln 3)) = ln 2 + ln 4
    loss = next_item.binary_cross_entropy(torch.tensor([0.0]), torch.tensor([[math.log(3)]]))
    assert float(loss) == pytest.approx(math.log(2) + math.log(4))


def test_generalised_bce_is_plain_at_zero_and_calibrated_at_one() -> None:
    positive, negative = torch.tensor([0.3]), torch.tensor([[0.1, -0.2]])
    softplus = F.softplus(negative).sum()
    plain = next_item.generalised_binary_cross_entropy(positive, negative, n_items=101, calibration=0.0)
    assert float(plain) == pytest.approx(float((F.softplus(-positive) + softplus) / 3))
    full = next_item.generalised_binary_cross_entropy(positive, negative, n_items=101, calibration=1.0)
    assert float(full) == pytest.approx(float((0.02 * F.softplus(-positive) + softplus) / 3), rel=1e-5)


def test_sampled_softmax_over_everything_is_the_full_one() -> None:
    torch.manual_seed(0)
    hidden, table = torch.randn(3, 4), torch.randn(6, 4)
    targets = torch.tensor([1, 4, 5])
    drawn = torch.arange(1, 6)
    clash = drawn == targets[:, None]
    positive = (hidden * table[targets]).sum(1)
    sampled = next_item.sampled_softmax(hidden, positive, table[drawn], clash, expected=torch.ones(5))
    torch.testing.assert_close(sampled, next_item.cross_entropy(hidden, table, targets))


def drawing(popular: float, negatives: int = 8) -> NextItem:
    counts = torch.tensor([0, 0, 1, 2, 4, 8, 16, 32])
    return NextItem(loss="sampled", negatives=negatives, calibration=0.75, popular=popular, item_counts=counts)


@pytest.mark.parametrize("popular", [0.0, 0.25, 0.5, 1.0])
def test_sampled_negatives_stand_for_the_whole_catalogue(popular: float) -> None:
    """Over many draws each item counts as much as any other."""
    torch.manual_seed(0)
    objective, owners = drawing(popular), torch.zeros(1, dtype=torch.int64)
    total, times = torch.zeros(8), 20_000
    for _ in range(times):
        drawn = objective.draw(owners, 7, lambda *_: owners)
        total.index_add_(0, drawn, 1 / objective.expected(drawn, 7))
    reached = torch.arange(8) > (1 if popular == 1 else 0)  # item 1 is never chosen: popularity never draws it
    torch.testing.assert_close(total[reached] / times, torch.ones(int(reached.sum())), atol=0.03, rtol=0)
    assert not total[~reached].any()


def test_negatives_drawn_by_popularity_are_that_share() -> None:
    torch.manual_seed(0)
    drawn = drawing(0.5, negatives=7).draw(torch.zeros(1, dtype=torch.int64), 7, lambda *_: torch.zeros(0))
    assert len(drawn) == 7
    half = torch.cat([drawing(1.0, negatives=7).draw(drawn, 7, lambda *_: drawn) for _ in range(2000)])
    assert float((half == 7).float().mean()) == pytest.approx(32 / 63, abs=0.02)


def test_popularity_that_was_not_given_is_no_popularity_at_all() -> None:
    objective = NextItem(loss="sampled", negatives=8, calibration=0.75, popular=0.5)
    with pytest.raises(ValueError, match="how often"):
        objective.draw(torch.zeros(1, dtype=torch.int64), 7, lambda owners, _: owners)


def test_distillation_counts_only_users_with_a_teacher() -> None:
    students, teachers = torch.tensor([[1.0, 1.0], [5.0, 5.0]]), torch.tensor([[0.0, 3.0], [0.0, 0.0]])
    known = torch.tensor([True, False])
    assert float(distillation.mse(students, teachers, known)) == pytest.approx((1 + 4) / 2)


def test_contrastive_distillation_by_hand() -> None:
    students = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([True, True])
    loss = distillation.contrastive(students, students, known)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1)))
    assert float(distillation.contrastive(students, students, torch.tensor([True, False]))) == 0.0


def test_contrastive_distillation_compares_within_groups() -> None:
    """Five known of six in groups of two at most: two, two and one, which has nobody to be told from."""
    torch.manual_seed(0)
    students, teachers = torch.randn(6, 3), torch.randn(6, 3)
    known = torch.tensor([True, True, False, True, True, True])
    alone = torch.tensor([True, True])
    pairs = [distillation.contrastive(students[of], teachers[of], alone) for of in ([0, 1], [3, 4])]
    found = distillation.contrastive(students, teachers, known, most=2)
    assert float(found) == pytest.approx(float(2 * pairs[0] + 2 * pairs[1]) / 5)
    whole = distillation.contrastive(students, teachers, known)
    assert torch.equal(distillation.contrastive(students, teachers, known, most=5), whole)
    assert float(distillation.contrastive(students, teachers, known, most=1)) == 0.0
