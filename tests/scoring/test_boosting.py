"""Trees that weigh the members of a blend once more: grown on validation, a part of a run like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from factories import make_embedding
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.contenders import contenders
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import Trees
from llmesr.models.folded import Folded
from llmesr.runs.record import MODEL, Run
from llmesr.scoring import boosting
from llmesr.scoring.blend import blend
from llmesr.scoring.boosting import Sample, grow
from llmesr.scoring.explanation import explain
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

HISTORY = [3, 9, 21]
SEQUENCES = torch.tensor([HISTORY, [5, 0, 0]])


@pytest.fixture
def members(store: Store, tiny: Dataset) -> list[Run]:
    vectors = make_embedding(store, tiny)
    methods = ("text-ease", "semantic-knn", "item-knn", "popularity")
    return [train(tiny, RunConfig(method=m, max_length=10), store, embedding=vectors) for m in methods]


@pytest.fixture
def grown(members: list[Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """With trees however little they help on so few users."""
    monkeypatch.setattr(boosting, "LEAST", 0.01)
    rising = count()
    monkeypatch.setattr(boosting, "_likelihood", lambda sample, score: float(next(rising)))
    return blend(members, trees=True)


def _sample(users: int, seed: int) -> Sample:
    """What is chosen is high in both features or low in both: no sum of them can tell."""
    rng = np.random.default_rng(seed)
    known = rng.uniform(-1, 1, (2, users, 30)).astype(np.float32)
    known[:, :, 0] = rng.uniform(0.5, 1, (2, users)) * rng.choice([-1, 1], users)
    known, flat = np.repeat(known, 3, axis=0), np.ones((users, 30))  # each tree sees half of the features
    return Sample(np.ones((users, 30), int), np.zeros((1, users, 30)), known, flat, np.arange(users), flat[:, 0])


def test_trees_learn_what_no_sum_can() -> None:
    level = BlendScorer([], torch.zeros(1, 2), torch.zeros(2))
    trees, likely = grow(_sample(300, 0), level, beside=_sample(300, 1))
    assert likely[0] == pytest.approx(-np.log(30))
    assert likely[-1] > likely[0] + 0.5
    corners = torch.tensor([[0.8, -0.8, 0.8, -0.8], [0.8, -0.8, -0.8, 0.8]])
    agreeing, apart = trees.score(corners.repeat_interleave(3, dim=0)).view(2, 2)
    assert agreeing.min() > apart.max() + 1
    again, _ = grow(_sample(300, 0), level)
    assert torch.equal(again.values, trees.values)


def test_noise_grows_no_trees(members: list[Run]) -> None:
    made = blend(members, trees=True)
    said = made.manifest.info["blend"]["trees"]
    assert 0 <= said["rounds"] <= boosting.ROUNDS


def test_a_half_is_judged_by_as_many_trees_as_were_likeliest_for_the_other(
    members: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    likely = iter([[0.0, 3.0, 1.0], [0.0, -2.0, 1.0]])  # of the halves: the first likes one tree, the other two
    grown, judges = boosting.grow, list[Any]()

    def scripted(*given: Any, **more: Any) -> tuple[Trees, np.ndarray]:
        trees, _ = grown(*given, **{**more, "rounds": 2})
        return trees, np.array(next(likely)) if more.get("beside") is not None else np.zeros(1)

    def watched(scorers: list[Any], fold: torch.Tensor) -> Folded:
        judges.extend(scorers)
        return Folded(scorers, fold)

    monkeypatch.setattr(boosting, "grow", scripted)
    monkeypatch.setattr(boosting, "ROUNDS", 2)
    monkeypatch.setattr(boosting, "Folded", watched)
    said = blend(members, trees=True).manifest.info["blend"]["trees"]
    assert said["rounds"] == 2
    assert [len(judge.trees.values) for judge in judges[:2]] == [2, 1]
    assert said["gain"] == pytest.approx((1.0 - 2.0) / 2, abs=0.02)  # the halves are nearly as large


def test_a_blend_with_trees_is_a_run_like_any_other(
    store: Store, tiny: Dataset, members: list[Run], grown: Run
) -> None:
    assert grown.manifest.info["blend"]["trees"]["rounds"] > 0
    plain = blend(members)
    assert plain.id != grown.id
    assert len({c.name for c in contenders([plain, grown])}) == 2
    scorer = load_scorer(grown)
    assert not torch.allclose(scorer.score(SEQUENCES), load_scorer(plain).score(SEQUENCES))
    assert torch.equal(load_scorer(grown).score(SEQUENCES), scorer.score(SEQUENCES))
    opened = ScoredRun(store, grown)
    for policy in (None, ScoringPolicy(gamma=1.0)):
        answer = Recommender(opened).recommend(HISTORY, 5, policy)
        parts = answer["collaborative"] + answer["semantic"] + answer["content"]
        np.testing.assert_allclose(parts, answer["score"], rtol=1e-4, atol=1e-4)
    scores = scorer.score(torch.tensor([HISTORY]))[0]
    for found in explain(opened, HISTORY, [1, 2, 30]):
        assert set(found.parts) <= {"linear", "text", "popularity"}
        assert sum(found.parts.values()) == pytest.approx(float(scores[found.item]), rel=1e-4, abs=1e-4)


def test_trees_are_of_what_lies_before_the_test(store: Store, tiny: Dataset, members: list[Run], grown: Run) -> None:
    before = load_file(grown.folder / MODEL)
    items = tiny.items.copy()
    last = tiny.offsets[1:][tiny.split.users("test")] - 1
    items[last] = np.random.default_rng(3).permutation(items[last])
    other = replace(tiny, items=items)
    assert (other.split.targets("test") != tiny.split.targets("test")).any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmesr.scoring.blend.load_dataset", lambda *_: other)
        after = load_file(blend(members, trees=True).folder / MODEL)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_trees_of_something_else_are_a_sentence(grown: Run) -> None:
    whole = load_file(grown.folder / MODEL)
    beyond = {**whole, "tree_features": whole["tree_features"] + 99}
    for tensors in (*({k: v for k, v in whole.items() if k != gone} for gone in ("tree_cuts", "usual")), beyond):
        save_file(tensors, grown.folder / MODEL)
        with pytest.raises(UserError, match="does not fit its dataset or the runs it is made of"):
            load_scorer(grown)


def test_the_command_grows_trees_too(members: list[Run]) -> None:
    ids = [run.id for run in members[:2]]
    done = CliRunner().invoke(app, ["blend", *ids, "--trees", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["trees"]["depth"] == boosting.DEPTH
    assert said["run"] == llmesr.blend(*members[:2], trees=True).id
