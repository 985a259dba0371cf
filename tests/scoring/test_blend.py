"""A blend is the sum of its members, and a run like any other."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from factories import make_dataset, make_embedding
from safetensors.torch import save_file
from serving_doubles import FakeScorer, bare_run
from torch import Tensor
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.config import BLEND, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.contenders import contenders
from llmesr.models.scorers import Scorer
from llmesr.runs.record import MODEL, Run, list_runs
from llmesr.scoring import blend as blending
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.explanation import explain
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.serving.hub import Hub
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

HISTORY = [3, 9, 21]
SEQUENCES = torch.tensor([HISTORY, [5, 0, 0]])


@pytest.fixture
def members(store: Store, tiny: Dataset) -> list[Run]:
    vectors = make_embedding(store, tiny)
    small = {"epochs": 1, "embedding_size": 8, "layers": 1}
    methods = {"text-ease": {}, "semantic-knn": {}, "llm-esr": small, "id": small}
    return [
        train(tiny, RunConfig.read(None, method=m, max_length=10, **s), store, embedding=vectors)
        for m, s in methods.items()
    ]


def test_a_blend_is_the_weighed_sum_of_its_members(members: list[Run]) -> None:
    made = blend(members)
    said = made.manifest.info["blend"]
    assert said["runs"] == [run.id for run in members]
    scorer = load_scorer(made)
    counts = np.asarray(ScoredRun(made.store, made).dataset.item_counts)
    knots = np.log1p(said["counts"])
    expected = np.broadcast_to(np.interp(np.log1p(counts), knots, said["bias"]), (2, len(counts))).copy()
    for run, curve in zip(members, said["weights"], strict=True):
        assert min(curve) >= 0
        expected += np.interp(np.log1p(counts), knots, curve) * load_scorer(run).score(SEQUENCES).numpy()
    np.testing.assert_allclose(scorer.score(SEQUENCES)[:, 1:], expected[:, 1:], rtol=1e-3, atol=1e-3)


def test_what_tells_choices_apart_gets_the_weight(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Knowing:
        """Gives the held-out item of every user 3 more than the noise of the others."""

        n_items = tiny.n_items

        def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
            noise = torch.randn(len(sequences), tiny.n_items + 1, generator=torch.Generator().manual_seed(1))
            assert users is not None
            targets = torch.zeros(tiny.n_users, dtype=torch.long)
            targets[tiny.split.users("valid")] = torch.from_numpy(tiny.split.targets("valid").astype(np.int64))
            noise[torch.arange(len(users)), targets[users]] += 3
            return noise

    knowing, noise = bare_run(store, tiny, method="id"), bare_run(store, tiny, method="llm-init")
    scorers: dict[str, Scorer] = {knowing.id: Knowing(), noise.id: FakeScorer(tiny.n_items)}
    monkeypatch.setattr(blending, "load_scorer", lambda run, **_: scorers[run.id])
    weights = blend([knowing, noise]).manifest.info["blend"]["weights"]
    assert np.mean(weights[0]) > 5 * np.mean(weights[1])


def test_a_blend_recommends_explains_serves_and_is_tuned(store: Store, tiny: Dataset, members: list[Run]) -> None:
    made = blend(members)
    assert made.label == BLEND
    assert made.status().state == "SUCCEEDED"
    assert set(made.per_user()["part"]) == {"valid", "test"}
    assert {p.id for p in made.manifest.parents} >= {tiny.id, *(run.id for run in members)}
    opened = ScoredRun(store, made)
    policy = ScoringPolicy(gamma=1.0, linear=2.0)
    for asked in (None, policy):
        answer = Recommender(opened).recommend(HISTORY, 5, asked)
        parts = answer["collaborative"] + answer["semantic"] + answer["content"]
        np.testing.assert_allclose(parts, answer["score"], rtol=1e-4, atol=1e-4)
        assert answer["semantic"].any()
    scores = opened.under().score(torch.tensor([HISTORY]), torch.tensor([-1]))[0]
    for found in explain(opened, HISTORY, [1, 2]):
        assert found.kind == "leave-one-out"
        assert set(found.parts) <= {"linear", "sequence model", "text", "popularity"}
        assert sum(found.parts.values()) == pytest.approx(float(scores[found.item]), rel=1e-4, abs=1e-4)
    assert not explain(opened, HISTORY, [1], policy)[0].parts
    assert Hub(store, [made.id]).get(None).recommender.run.id == made.id
    tuned = derive(opened, policy)
    assert ScoredRun(store, tuned).under().score(SEQUENCES).shape == (2, tiny.n_items + 1)
    again = blend(members)
    assert again.id == made.id
    named = [c.name for c in contenders([made, tuned, blend(members[:2]), *members])]
    assert len(set(named)) == 7


def test_what_cannot_be_blended_is_refused(store: Store, tiny: Dataset, members: list[Run]) -> None:
    first, second, *_ = members
    with pytest.raises(UserError, match="two runs or more"):
        blend([first])
    with pytest.raises(UserError, match="named twice"):
        blend([first, first])
    for emphasis in (math.inf, math.nan, -1.0):
        with pytest.raises(UserError, match="emphasis on tail items is a number, 0 or more"):
            blend([first, second], emphasis=emphasis)
    assert [run.id for run in list_runs(store) if run.label.startswith("blend")] == []
    other = bare_run(store, make_dataset(store, name="other"), method="id")
    with pytest.raises(UserError, match="one dataset, under one split"):
        blend([first, other])
    with pytest.raises(UserError, match="tune the blend"):
        blend([first, derive(ScoredRun(store, second), ScoringPolicy(popularity=0.1))])
    longer = train(tiny, RunConfig(method="ease", max_length=20), store)
    with pytest.raises(UserError, match="same max_length"):
        blend([first, longer])
    made = blend([first, second])
    with pytest.raises(UserError, match="delete those first"):
        store.delete("runs", second.id)
    shutil.rmtree(second.folder)
    with pytest.raises(UserError, match="which is gone"):
        load_scorer(made)


def test_a_blend_whose_weights_are_of_something_else_is_a_sentence(
    store: Store, tiny: Dataset, members: list[Run]
) -> None:
    made = blend(members[:2])
    width = tiny.n_items + 1
    for tensors in (
        {},
        {"weights": torch.ones(2, width)},
        {"weights": torch.ones(3, width), "bias": torch.zeros(width)},
        {"weights": torch.ones(2, 4), "bias": torch.zeros(4)},
    ):
        save_file(tensors, made.folder / MODEL)
        with pytest.raises(UserError, match="does not fit its dataset or the runs it is made of"):
            load_scorer(made)


def test_a_member_of_another_dataset_is_a_sentence(store: Store, members: list[Run]) -> None:
    made, other = blend(members[:2]), make_dataset(store, name="other")
    with store.changing("runs", members[1].id) as manifest:
        for parent in manifest.parents:
            parent.id = other.id if parent.kind == "datasets" else parent.id
    with pytest.raises(UserError, match="which is of another dataset"):
        load_scorer(made)


def test_the_command_and_the_function_do_the_same(members: list[Run]) -> None:
    ids = [run.id for run in members[:2]]
    done = CliRunner().invoke(app, ["blend", *ids, "--emphasis", "1", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["runs"], said["emphasis"]) == (ids, 1.0)
    assert said["run"] == llmesr.blend(*members[:2], emphasis=1.0).id
    assert said["run"] != llmesr.blend(*members[:2]).id
