"""Fitted popularity weights against choices made with known ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from llmesr.data.groups import Thresholds
from llmesr.scoring.ground import Ground
from llmesr.scoring.tuning import fit
from llmesr.scoring.tuning.fit import Choices, fit_weights, knots
from llmesr.scoring.tuning.grid import Block
from llmesr.scoring.weights import PopularityWeights, hats

N, U = 400, 6000
COUNTS = (201 ** (torch.arange(N + 1) / N) - 1).round().long()  # 0 .. 200, even on the logarithm
TRUE = {"collaborative": (0.4, 1.6), "content": (1.2, 0.1), "bias": (0.5, -0.5)}


def ground() -> Ground:
    return Ground(
        item_counts=COUNTS,
        train_lengths=torch.ones(U),
        thresholds=Thresholds(item=1, user=2),
        text=torch.ones(N + 1, 2),
    )


def simulated(seed: int = 0) -> Block:
    """Users who choose by the softmax of parts whose weights follow popularity."""
    generator = torch.Generator().manual_seed(seed)
    collaborative, content = (torch.randn(U, N + 1, generator=generator) for _ in range(2))
    shares = hats((0, 200), torch.log1p(COUNTS.float()))
    curve = {name: shares @ torch.tensor(values) for name, values in TRUE.items()}
    scores = collaborative * curve["collaborative"] + content * curve["content"] + curve["bias"]
    scores[:, 0] = -torch.inf
    target = torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]
    nothing = torch.zeros(())
    return Block(
        users=np.arange(U),
        terms={
            ("collaborative", None): collaborative,
            ("semantic", None): nothing.expand(U, N + 1),
            ("content", 0.0): content,
            ("bias", None): (nothing + 1).expand(U, N + 1),
        },
        target=target,
        excluded=torch.zeros(U, 1, dtype=torch.long),
        negatives=torch.zeros(U, 1, dtype=torch.long),
    )


def test_known_weights_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "KNOTS", 2)
    monkeypatch.setattr(fit, "RARE", 0.0)
    choices = Choices.of([simulated()])
    tail = torch.zeros(U, dtype=torch.bool)
    found = fit_weights(choices, ground(), tail, spread=2.0, units={("content", 0.0): 3.0}, emphases=(0.0,))[0]
    assert found.counts == (0, 200)
    # The score is `spread` times the likelihood's exponent; content is multiplied by its unit afterwards.
    np.testing.assert_allclose(np.array(found.collaborative) / 2, TRUE["collaborative"], atol=0.1)
    np.testing.assert_allclose(np.array(found.content) * 3 / 2, TRUE["content"], atol=0.1)
    middle = np.mean(found.bias)  # a bias of all items alike changes no choice
    np.testing.assert_allclose((np.array(found.bias) - middle) / 2, TRUE["bias"], atol=0.12)
    assert found.linear == ()  # no such term, no curve


def test_emphasis_moves_the_bias_towards_the_tail() -> None:
    block = simulated(1)
    choices = Choices.of([block])
    tail = COUNTS[choices.items[:, 0]] < 20
    plain, strong = fit_weights(choices, ground(), tail, spread=1.0, units={("content", 0.0): 1.0}, emphases=(0.0, 4.0))
    assert (plain.tail_emphasis, strong.tail_emphasis) == (0.0, 4.0)
    lean = [w.bias[0] - w.bias[-1] for w in (plain, strong)]
    assert lean[1] > lean[0] + 0.5


def test_no_users_worth_mentioning_leave_the_scores_as_they_are() -> None:
    choices = Choices.of([simulated(2)])
    few = Choices(choices.items[:2], {k: v[:2] for k, v in choices.terms.items()}, choices.barred[:2])
    found = fit_weights(
        few, ground(), torch.zeros(2), spread=1.0, units={("content", 0.0): 1.0}, emphases=(0,), ridge=1e6
    )[0]
    np.testing.assert_allclose(found.collaborative, 1.0, atol=1e-3)
    np.testing.assert_allclose([*found.content, *found.bias], 0.0, atol=1e-3)


def test_what_a_user_has_seen_is_no_candidate() -> None:
    block = simulated(3)
    block.excluded[:, 0] = 7
    choices = Choices.of([block])
    drawn, barred = choices.items[:, 1:], choices.barred[:, 1:]
    assert barred[drawn == 7].all()
    assert barred[drawn == choices.items[:, :1]].all()
    assert not choices.barred[:, 0].any()
    assert 0 < barred.float().mean() < 0.02
    torch.testing.assert_close(choices.terms["content", 0.0], block.terms["content", 0.0].gather(1, choices.items))


def test_knots_span_the_catalogue() -> None:
    assert knots(np.array([3, 3, 3])) == (3,)
    found = knots(np.arange(1000))
    assert found[0] == 0
    assert found[-1] in range(985, 1000)
    assert len(found) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"counts": (3, 3)}, "increase"),
        ({"bias": (1.0,)}, "one value per count"),
        ({"bias": (1.0, float("nan"))}, "finite"),
    ],
)
def test_weights_that_make_no_sense_are_refused(change: dict[str, Any], said: str) -> None:
    good = dict.fromkeys(("collaborative", "semantic", "content", "linear", "bias"), (1.0, 2.0))
    PopularityWeights(counts=(0, 3), **good)
    with pytest.raises(ValidationError, match=said):
        PopularityWeights(**({"counts": (0, 3)} | good | change))


def test_curves_are_straight_over_the_logarithm_and_level_outside() -> None:
    flat = dict.fromkeys(("collaborative", "semantic", "content", "linear"), (0.0, 0.0))
    weights = PopularityWeights(counts=(1, 7), bias=(2.0, 4.0), **flat)
    at = weights.at("bias", torch.log1p(torch.tensor([0.0, 1.0, 3.0, 7.0, 50.0])))
    torch.testing.assert_close(at, torch.tensor([2.0, 2.0, 3.0, 4.0, 4.0]))
