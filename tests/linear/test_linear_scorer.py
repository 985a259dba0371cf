"""Scores are sums over the history, and the parts shown are those sums."""

from __future__ import annotations

import pytest
import torch

from llmesr.data.fading import fading
from llmesr.data.unit_rows import unit_rows
from llmesr.linear.fallback import Fallback
from llmesr.linear.scorer import LinearScorer
from llmesr.linear.weights import Columns, Weights

N, M = 9, 3
SEQUENCES = torch.tensor([[1, 2, 3, 0], [N, 0, 0, 0], [0, 0, 0, 0], [4, 4, 5, 6]])


def sparse() -> Weights:
    torch.manual_seed(0)
    items = torch.stack([torch.randperm(N)[:M] + 1 for _ in range(N)]).int()
    items[items == torch.arange(1, N + 1)[:, None]] = 0
    weights = torch.randn(N, M) * (items != 0)
    return Weights.sparse(Columns(items, weights, weights * 0.3))


def whole(of: Weights) -> Weights:
    content = Weights(of.content, of.items).whole()  # type: ignore[arg-type]
    return Weights.dense(of.whole(), content)


def fallback() -> Fallback:
    vectors = unit_rows(torch.randn(N + 1, 4, generator=torch.Generator().manual_seed(3)))
    vectors[[0, 7]] = 0
    return Fallback(torch.arange(N + 1), popularity=0.01, content=0.05, vectors=vectors)


def test_the_newest_choice_counts_most() -> None:
    assert fading(SEQUENCES, 0.5).tolist() == [
        [0.25, 0.5, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0] * 4, [0.125, 0.25, 0.5, 1.0],
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_scores_are_the_faded_sum_of_rows(form: str) -> None:
    weights = sparse() if form == "sparse" else whole(sparse())
    table = sparse().whole()
    expected = torch.stack([
        0.25 * table[1] + 0.5 * table[2] + table[3], table[N], torch.zeros(N + 1),
        0.125 * table[4] + 0.25 * table[4] + 0.5 * table[5] + table[6],
    ])  # fmt: skip
    torch.testing.assert_close(LinearScorer(weights, decay=0.5).score(SEQUENCES), expected)


@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("ranked", [False, True])
def test_parts_sum_to_the_score(form: str, ranked: bool) -> None:
    weights = sparse() if form == "sparse" else whole(sparse())
    scorer = LinearScorer(weights, decay=0.7, fallback=fallback() if ranked else None)
    candidates = torch.arange(1, N + 1).expand(len(SEQUENCES), -1)
    scores = scorer.score(SEQUENCES)
    torch.testing.assert_close(scorer.of(SEQUENCES, candidates), scores[:, 1:])
    behaviour, content = scorer.shares(SEQUENCES, candidates)
    assert behaviour.shape == content.shape == (4, N, 4)
    torch.testing.assert_close(content, 0.3 * (behaviour + content))
    torch.testing.assert_close((behaviour + content).sum(2), scorer.linear(SEQUENCES)[:, 1:])


def test_few_summands_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = LinearScorer(sparse(), decay=0.7).score(SEQUENCES)
    monkeypatch.setattr("llmesr.linear.rows.AT_ONCE", 2)
    torch.testing.assert_close(LinearScorer(sparse(), decay=0.7).score(SEQUENCES), expected)


def test_the_fallback_names_the_item_whose_text_is_nearest() -> None:
    made = fallback()
    candidates = torch.arange(1, N + 1).expand(len(SEQUENCES), -1)
    popular, nearest = made.parts(SEQUENCES, candidates)
    expected = made.add_to(torch.zeros(4, N + 1), SEQUENCES)[:, 1:]
    torch.testing.assert_close(popular + nearest.sum(2), expected)
    assert ((nearest > 0).sum(2) <= 1).all()  # one item of the history each
    assert popular[0].argmax() == N - 1
    vectors = made.vectors
    assert vectors is not None
    cosines = (vectors[4] @ vectors[[1, 2, 3]].T).clamp(min=0)
    assert nearest[0, 3, :3].argmax() == cosines.argmax()


def test_weights_go_through_storage() -> None:
    for made in (sparse(), whole(sparse())):
        back = Weights.read(made.tensors())
        torch.testing.assert_close(back.whole(), made.whole())
        assert back.n_items == N
