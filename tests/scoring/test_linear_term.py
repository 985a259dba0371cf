"""The linear term against sums made by hand, of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import cosines_by_hand
from serving_doubles import text_vectors

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.linear import rows
from llmesr.linear.build import Source, build
from llmesr.linear.scorer import LinearScorer
from llmesr.scoring import linear_term
from llmesr.scoring.ground import Ground, Unavailable
from llmesr.scoring.linear_term import KINDS, LinearKind, make
from llmesr.scoring.policy import ScoringPolicy

HISTORIES = torch.tensor([[3, 7, 9], [5, 0, 0], [0, 0, 0]])


def test_few_pairs_at_a_time_give_the_same(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    term, sequences = make("cosines", tiny, None), torch.randint(1, tiny.n_items + 1, (9, 7))
    scores = term.score(sequences)
    monkeypatch.setattr(rows, "AT_ONCE", 100)
    torch.testing.assert_close(term.score(sequences), scores)


def test_cosines_sum_over_the_history(tiny: Dataset) -> None:
    expected, term = cosines_by_hand(tiny), make("cosines", tiny, None)
    scores = term.score(HISTORIES)
    for row, history in enumerate(HISTORIES.tolist()):
        total = sum((expected[h] for h in history if h), np.zeros(tiny.n_items + 1))
        np.testing.assert_allclose(scores[row], np.log1p(10 * total), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("kind", ["ease", "text-ease"])
def test_solved_kinds_are_the_methods_of_that_name(
    tiny: Dataset, kind: LinearKind, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(method=kind, solver="dense" if dense else "local")
    monkeypatch.setattr(linear_term, "RunConfig", lambda method: config)
    text = text_vectors(tiny.n_items)
    method = LinearScorer(build(Source(tiny, text), config), decay=config.decay)
    term = make(kind, tiny, text)
    expected = torch.log1p(10 * method.score(HISTORIES).clamp(min=0))
    assert expected.any()
    torch.testing.assert_close(term.score(HISTORIES), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract_of_terms(tiny: Dataset, kind: LinearKind) -> None:
    term = Ground.of(tiny, text_vectors(tiny.n_items).numpy()).linear(kind)
    scores = term.score(HISTORIES)
    assert scores.shape == (3, tiny.n_items + 1)
    assert (scores >= 0).all()
    assert not scores[2].any()
    few = torch.tensor([[1, 9], [4, 4], [2, 3]])
    torch.testing.assert_close(term.of(HISTORIES, few), scores.gather(1, few))
    torch.testing.assert_close(term.score(torch.nn.functional.pad(HISTORIES, (0, 4))), scores)


def test_only_the_training_part_is_read(tiny: Dataset) -> None:
    changed = tiny.items.copy()
    ends = tiny.offsets[1:] - 1  # the held-out items
    changed[ends] = 1 + changed[ends] % tiny.n_items
    text = text_vectors(tiny.n_items)
    for kind in KINDS:
        scores = [make(kind, data, text).score(HISTORIES) for data in (tiny, replace(tiny, items=changed))]
        torch.testing.assert_close(*scores)


def test_terms_are_solved_once_and_kept_within_the_budget(tiny: Dataset) -> None:
    ground = Ground.of(tiny, text_vectors(tiny.n_items).numpy())
    assert all(ground.linear(kind) is ground.linear(kind) for kind in KINDS)
    solved, ground.budget = ground.linear("ease"), 0
    for whitening in (0.1, 0.2, 0.3):
        ground.content(whitening)
    assert ground.linear("ease") is not solved


def test_a_ground_without_interactions_or_text_says_so(tiny: Dataset) -> None:
    bare = Ground(
        item_counts=torch.from_numpy(np.asarray(tiny.item_counts)),
        train_lengths=torch.zeros(1),
        thresholds=Thresholds(item=1, user=2),
    )
    with pytest.raises(Unavailable, match="training interactions"):
        bare.linear("cosines")
    blind = Ground.of(tiny, None)
    assert blind.linear("ease").size == tiny.n_items + 1
    with pytest.raises(Unavailable, match="text-ease needs text vectors"):
        blind.linear("text-ease")
    assert not ScoringPolicy(linear=1.0).inert
    with pytest.raises(UserError, match="linear_kind"):
        ScoringPolicy.read(None, linear_kind="other")
