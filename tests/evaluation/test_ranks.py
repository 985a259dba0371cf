"""Ranks against counting by hand, and against a slow reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import Table, dataset_of
from hypothesis import given, settings
from hypothesis import strategies as st

from llmesr.errors import UserError
from llmesr.evaluation import ranks as module
from llmesr.evaluation.negatives import NEGATIVES, uniform_negatives
from llmesr.evaluation.ranks import evaluate, top_unseen


def rank_by_hand(scores: Any, target: Any, candidates: Any) -> Any:
    """Higher ones come first, of equal ones half do, rounded up."""
    others = [scores[i] for i in candidates if i != target]
    higher = sum(s > scores[target] for s in others)
    equal = sum(s == scores[target] for s in others)
    return 1 + higher + math.ceil(equal / 2)


def test_a_case_counted_by_hand() -> None:
    # user 0: train [1], valid 2, test 3; user 1: too short; user 2: train [5, 4], valid 5 (a repeat), test 1
    data = dataset_of([[1, 2, 3], [4, 5], [5, 4, 5, 1]], n_items=6)
    scores = np.zeros((3, 7))
    scores[0] = [9, 9.0, 0.5, 0.4, 0.6, 0.4, 0.4]
    scores[2] = [9, 0.3, 0.2, 0.1, 0.9, 0.25, 0.0]
    valid = evaluate(Table(scores), data, "valid", top=3)
    full = valid.frame[valid.frame["protocol"] == "full"]
    assert full["user_id"].tolist() == ["u0", "u2"]
    assert full["target_id"].tolist() == ["i2", "i5"]
    # user 0: 1 is seen; of 2..6 only 4 is higher. user 2: the target is a repeat, so nothing is excluded; 4, 1 higher.
    assert full["rank"].tolist() == [2, 3]
    assert full["candidates"].tolist() == [5, 6]
    assert full["history_length"].tolist() == [1, 2]
    assert full["target_popularity"].tolist() == [0, 2]  # item 5: once in user 1 (training only), once in user 2
    assert valid.top_items[0, :2].tolist() == [4, 2]
    assert valid.top_items[1].tolist() == [4, 1, 5]
    test = evaluate(Table(scores), data, "test", top=3)
    full = test.frame[test.frame["protocol"] == "full"]
    # user 0: 1 and 2 seen; 4 higher, 5 and 6 equal: 1 + 1 + 1. user 2: 4 and 5 seen; 1 is the best.
    assert full["rank"].tolist() == [3, 1]
    assert full["candidates"].tolist() == [4, 4]
    sampled = test.frame[test.frame["protocol"] == "uni100"]
    # fewer than 100 items outside the whole history: all of them, 4 5 6 and 2 3 6
    assert sampled["candidates"].tolist() == [4, 4]
    assert sampled["rank"].tolist() == [3, 1]


@st.composite
def worlds(draw: Any) -> Any:
    n_items = draw(st.integers(2, 150))
    histories = draw(
        st.lists(st.lists(st.integers(1, n_items), min_size=1, max_size=12), min_size=1, max_size=6).filter(
            lambda hs: any(len(h) >= 3 for h in hs)
        )
    )
    levels = draw(st.sampled_from([1, 3, 1000]))  # one level: everything is tied
    seed = draw(st.integers(0, 2**16))
    scores = np.random.default_rng(seed).integers(0, levels, (len(histories), n_items + 1)).astype(float)
    if draw(st.booleans()):
        scores[:, :: draw(st.integers(2, 5))] = -np.inf
    return dataset_of(histories, n_items, seed=seed), scores


@given(worlds(), st.sampled_from(["valid", "test"]))
@settings(max_examples=60, deadline=None)
def test_full_ranks_and_top_items_equal_a_slow_reference(world: Any, part: Any) -> None:
    data, scores = world
    result = evaluate(Table(scores), data, part, top=5, protocols=("full",))
    for row, top in zip(result.frame.itertuples(), result.top_items, strict=True):
        own = scores[row.user]
        seen = set(data.history(row.user)[: data.split.input_lengths(part)[row.user]].tolist())
        candidates = [i for i in range(1, data.n_items + 1) if row.target in seen or i not in seen]
        assert row.candidates == len(candidates)
        assert row.rank == rank_by_hand(own, row.target, candidates)
        best = sorted((own[i] for i in candidates if own[i] > -np.inf), reverse=True)[: len(top)]
        listed = [i for i in top.tolist() if i]
        assert [own[i] for i in listed] == best
        assert len(set(listed)) == len(listed)
        assert set(listed) <= set(candidates)


@given(worlds())
@settings(max_examples=40, deadline=None)
def test_sampled_ranks_equal_counting_over_the_negatives(world: Any) -> None:
    data, scores = world
    result = evaluate(Table(scores), data, "test", top=0, protocols=("uni100",))
    assert result.top_items.shape == (len(data.split.users("test")), 0)
    for row in result.frame.itertuples():
        history = data.history(row.user)
        drawn = uniform_negatives(
            torch.tensor([row.user]), torch.from_numpy(history[None].astype(np.int64)), data.n_items,
            seed=data.seed, part="test",
        )  # fmt: skip
        negatives = [i for i in drawn[0].tolist() if i]
        outside = set(range(1, data.n_items + 1)) - set(history.tolist())
        assert len(set(negatives)) == len(negatives) == min(NEGATIVES, len(outside))
        assert set(negatives) <= outside
        assert row.candidates == 1 + len(negatives)
        assert row.rank == rank_by_hand(scores[row.user], row.target, [row.target, *negatives])


@given(worlds(), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_blocks_change_nothing(world: Any, batch_size: Any) -> None:
    data, scores = world
    expected = evaluate(Table(scores), data, "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 2 * (data.n_items + 1))
        patch.setattr(module, "SLICE", 1)
        got = evaluate(Table(scores), data, "test", batch_size=batch_size)
    assert got.frame.equals(expected.frame)
    assert (got.top_items == expected.top_items).all()


def test_renumbering_the_items_leaves_full_ranks_alone() -> None:
    rng = np.random.default_rng(3)
    histories = [rng.integers(1, 41, rng.integers(3, 9)).tolist() for _ in range(30)]
    scores = rng.integers(0, 6, (30, 41)).astype(float)
    rename = np.concatenate([[0], 1 + rng.permutation(40)])
    moved = np.empty_like(scores)
    moved[:, rename] = scores
    before = evaluate(Table(scores), dataset_of(histories, 40), "test", protocols=("full",))
    after = evaluate(Table(moved), dataset_of([rename[h].tolist() for h in histories], 40), "test", protocols=("full",))
    assert before.frame["rank"].tolist() == after.frame["rank"].tolist()


def test_a_constant_score_is_at_chance_and_never_at_the_top() -> None:
    data = dataset_of([[1, 2, 3]] * 5, n_items=201)
    frame = evaluate(Table(np.zeros((5, 202))), data, "test").frame
    assert set(frame.loc[frame["protocol"] == "full", "rank"]) == {100}  # 1 + 198 / 2
    assert set(frame.loc[frame["protocol"] == "uni100", "rank"]) == {51}


def test_the_scorer_reads_the_newest_items_of_the_input_padded_on_the_right() -> None:
    data = dataset_of([[1, 2, 3, 4, 5], [6, 7, 8]], n_items=9)
    scorer = Table(np.zeros((2, 10)))
    evaluate(scorer, data, "valid", max_length=2)
    assert sorted(row for batch in scorer.seen for row in batch.tolist()) == [[2, 3], [6, 0]]


def test_seen_items_are_excluded_even_beyond_what_the_model_reads() -> None:
    data = dataset_of([[1, 2, 3, 4, 5]], n_items=6)
    scores = np.array([[0, 9, 9, 9, 9, 1, 0]])
    result = evaluate(Table(scores), data, "test", max_length=1, top=6)
    assert result.frame["rank"].tolist() == [1, 1]
    assert result.top_items.tolist() == [[5, 6, 0, 0, 0, 0]]


@pytest.mark.parametrize("top", [0, 5])
def test_scores_that_are_not_numbers_name_the_user(top: Any) -> None:
    data = dataset_of([[1, 2, 3], [4, 5, 6]], n_items=8)
    scores = np.zeros((2, 9))
    scores[1, 8] = np.nan
    with pytest.raises(UserError, match="'u1'"):
        evaluate(Table(scores), data, "test", top=top)
    scores[1, 8], scores[:, 0] = 0, np.nan  # the padding column is nobody's score
    assert len(evaluate(Table(scores), data, "test", top=top).frame) == 4


def test_a_matrix_of_another_catalogue_is_refused() -> None:
    data = dataset_of([[1, 2, 3]], n_items=5)
    with pytest.raises(ValueError, match=r"\(1, 5\).*\(1, 6\)"):
        evaluate(Table(np.zeros((1, 5))), data, "test")


def test_top_by_chunks_equals_a_full_sort() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.permutation(4 * 3001).reshape(4, 3001).astype(np.float32))
    seen = torch.from_numpy(rng.integers(1, 3001, (4, 30)))
    masked = scores.clone()
    masked[:, 0] = -torch.inf
    masked.scatter_(1, seen, -torch.inf)
    assert torch.equal(top_unseen(scores, seen, k=20), masked.argsort(dim=1, descending=True)[:, :20])


def test_negatives_depend_on_seed_part_and_user_alone() -> None:
    users = torch.arange(50)
    histories = torch.zeros(50, 1, dtype=torch.int64)

    def draw(users: Any, width: Any = 1, **key: Any) -> Any:
        return uniform_negatives(users, histories[users].repeat(1, width), 5000, **{"seed": 1, "part": "test", **key})

    whole = draw(users)
    assert torch.equal(draw(users[10:20], width=7), whole[10:20])
    assert torch.equal(draw(users.flip(0)), whole.flip(0))
    for other in (draw(users, seed=2), draw(users, part="valid"), whole.roll(1, 0)):
        assert not (other == whole).all(1).any()


def test_negatives_are_uniform() -> None:
    n = 250
    users = torch.arange(4000)
    histories = torch.tensor([[1, 2]]).repeat(4000, 1)
    drawn = uniform_negatives(users, histories, n, seed=7, part="test")
    counts = torch.bincount(drawn.flatten(), minlength=n + 1)[3:].double()
    expected = 4000 * NEGATIVES / (n - 2)
    # Without replacement the variance of a count is below that of independent draws by 1 - 100 / 248.
    statistic = float(((counts - expected) ** 2 / expected).sum()) / (1 - NEGATIVES / (n - 2))
    assert 170 < statistic < 340  # chi-squared with 247 degrees of freedom: mean 247, deviation 22
    first = torch.bincount(drawn[:, 0], minlength=n + 1)[3:].double()
    assert 170 < float(((first - 4000 / 248) ** 2 / (4000 / 248)).sum()) < 340
