"""What was fitted on validation is judged there by what was fitted on others, whoever asks and however often."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_dataset, make_embedding
from safetensors.torch import load_file, save_file

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset, load_dataset, save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.models.folded import Folded
from llmesr.runs.record import MODEL, Run
from llmesr.scoring.again import evaluate_again
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.policy_scorer import PolicyScorer
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import PolicyTuningConfig
from llmesr.scoring.tuning.search import cross_fitted, tune_policy
from llmesr.serving.hub import Hub
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

QUICK = PolicyTuningConfig(gammas=(0.0, 1.0), emphases=(0.0,), linear_kinds=(), whitenings=())


@pytest.fixture
def shop(store: Store) -> Dataset:
    made = make_dataset(store, users=150, items=60, seed=3)
    make_embedding(store, made)
    return made


@pytest.fixture
def members(store: Store, shop: Dataset) -> list[Run]:
    return [train(shop, RunConfig.read(None, method=m, max_length=10), store) for m in ("ease", "item-knn", "markov")]


def valid(run: Run) -> np.ndarray:
    return np.asarray(run.per_user("valid", "full")["rank"])


@pytest.mark.parametrize("trees", [False, True], ids=["sum", "trees"])
def test_a_blend_is_evaluated_again_as_it_was(members: list[Run], trees: bool) -> None:
    made = blend(members, trees=trees)
    before, measured = made.per_user(), made.metrics()
    pd.testing.assert_frame_equal(evaluate_again(made, "cpu").per_user(), before)
    assert made.metrics() == measured
    whole = load_scorer(made)
    judging = load_scorer(made, part="valid")
    assert isinstance(judging, Folded)
    sequences, users = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([-1, -1])
    assert torch.equal(judging.score(sequences, users), whole.score(sequences))  # somebody unknown: all of them
    asked = torch.from_numpy(ScoredRun(made.store, made).dataset.split.users("valid")[:2])
    assert not torch.equal(judging.score(sequences, asked), whole.score(sequences))


def test_a_tuned_policy_is_evaluated_again_as_it_was(store: Store, members: list[Run]) -> None:
    opened = ScoredRun(store, members[0])
    tuned = tune_policy(opened, QUICK)
    policy = tuned.policy if not tuned.policy.inert else ScoringPolicy(popularity=0.01)
    halves = [ScoringPolicy(popularity=0.3), ScoringPolicy(popularity=-0.2)]
    run = derive(opened, policy, halves=halves)
    before = run.per_user()
    pd.testing.assert_frame_equal(evaluate_again(run, "cpu").per_user(), before)
    assert not np.array_equal(valid(run), valid(derive(ScoredRun(store, members[1]), policy)))
    manifest = run.manifest.model_copy(update={"info": {**run.manifest.info}})
    manifest.info["policy"] = {k: v for k, v in manifest.info["policy"].items() if k != "halves"}
    with store.changing("runs", run.id) as there:
        there.info = manifest.info
    with pytest.raises(UserError, match=f"earlier version.*`llmesr tune {members[0].id}`"):
        evaluate_again(Run(store, run.id), "cpu")


def test_each_half_is_ranked_by_what_was_tuned_on_the_other(store: Store, members: list[Run]) -> None:
    opened = ScoredRun(store, members[0])
    halves = [ScoringPolicy(popularity=0.3), ScoringPolicy(popularity=-0.2)]
    own = [valid(derive(opened, policy)) for policy in halves]
    run = derive(opened, ScoringPolicy(popularity=0.1), halves=halves)
    users = run.per_user("valid", "full")["user"].to_numpy()
    data = opened.dataset
    first = np.isin(users, np.random.default_rng(data.seed).choice(np.sort(users), len(users) // 2, replace=False))
    np.testing.assert_array_equal(valid(run), np.where(first, own[0], own[1]))
    found = cross_fitted(opened, QUICK)
    assert found is not None
    assert len(found) == 2


def test_a_policy_of_a_blend_is_judged_by_what_the_blend_was_fitted_on_others(store: Store, members: list[Run]) -> None:
    made = blend(members, trees=True)
    opened = ScoredRun(store, made)
    next_to_nothing = derive(opened, ScoringPolicy(popularity=1e-7))
    assert np.mean(valid(next_to_nothing) == valid(made)) > 0.95
    flattered = PolicyScorer(load_scorer(made), ScoringPolicy(), opened.ground)
    users = opened.dataset.split.users("valid")
    assert opened.of("valid").ground is opened.ground
    assert opened.of("valid").of("test") is opened
    asked = torch.tensor([[1, 2]]), torch.from_numpy(users[:1])
    assert not torch.equal(opened.of("valid").scorer.score(*asked), flattered.score(*asked))


def test_a_blend_of_a_blend_answers_by_all_of_it(store: Store, members: list[Run]) -> None:
    inner = blend(members[:2])
    outer = blend([inner, members[2]])
    sequences = torch.tensor([[1, 2, 3]])
    weights, bias = (load_file(outer.folder / MODEL)[name] for name in ("weights", "bias"))
    parts = [load_scorer(run).score(sequences) for run in (inner, members[2])]
    expected = bias + sum(weight * part for weight, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(load_scorer(outer).score(sequences), expected)
    stored = outer.per_user("test", "full")["rank"].to_numpy()
    np.testing.assert_array_equal(evaluate_again(outer, "cpu").per_user("test", "full")["rank"], stored)


def test_a_blend_of_an_earlier_version_says_what_it_lacks(members: list[Run]) -> None:
    made = blend(members)
    tensors = {name: tensor for name, tensor in load_file(made.folder / MODEL).items() if name in ("weights", "bias")}
    save_file(tensors, made.folder / MODEL)
    assert load_scorer(made).score(torch.tensor([[1, 2]])).shape == (1, 61)
    with pytest.raises(UserError, match=f"earlier version.*`llmesr blend {members[0].id} {members[1].id}"):
        load_scorer(made, part="valid")


def test_the_parts_of_a_policy_on_a_blend_add_up_for_each_half(store: Store, members: list[Run]) -> None:
    judged = ScoredRun(store, blend(members)).of("valid")
    policed = judged.under(ScoringPolicy(popularity=0.2))
    users = torch.from_numpy(judged.dataset.split.users("valid")[:6])
    sequences = torch.randint(1, 60, (6, 4), generator=torch.Generator().manual_seed(0))
    items = torch.tensor([3, 8, 40])
    parts = sum(policed.split(sequences, users, items).values())
    torch.testing.assert_close(parts, policed.score(sequences, users)[:, items], rtol=1e-4, atol=1e-4)


def test_a_policy_is_made_again_where_thresholds_have_moved(store: Store, shop: Dataset, members: list[Run]) -> None:
    policy = ScoringPolicy(popularity=2.0, tail_users_only=True)
    before = derive(ScoredRun(store, members[0]), policy)
    first, again = valid(before), derive(ScoredRun(store, members[0]), policy)
    assert again.manifest.created == before.manifest.created  # nothing has changed
    save_thresholds(store, shop.id, shop.thresholds.model_copy(update={"user": 10**6}))
    after = derive(ScoredRun(store, members[0]), policy)
    assert after.id == before.id
    assert not np.array_equal(valid(after), first)
    assert load_dataset(store, shop.id).thresholds == Thresholds(item=shop.thresholds.item, user=10**6)


def test_a_policy_reads_the_text_it_was_made_with(store: Store, shop: Dataset, members: list[Run]) -> None:
    run = derive(ScoredRun(store, members[0]), ScoringPolicy(gamma=8.0))
    made_with = run.manifest.parent("embeddings")
    sequences = torch.tensor([[1, 2, 3]])
    before = ScoredRun(store, run).under().score(sequences)
    newer = make_embedding(store, shop, size=6, id="newer")
    assert newer.id != made_with
    opened = ScoredRun(store, run)
    assert opened.embedding is not None
    assert opened.embedding.id == made_with
    assert torch.equal(opened.under().score(sequences), before)


def test_a_server_sees_that_a_member_is_another_one(store: Store, members: list[Run]) -> None:
    made = blend(members)
    run = derive(ScoredRun(store, made), ScoringPolicy(popularity=0.1))
    hub = Hub(store, [run.id])
    assert not asyncio.run(hub.reload())
    blend(members)  # replaces the one that the policy is of
    assert asyncio.run(hub.reload())
