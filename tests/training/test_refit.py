"""A split that refits: validation chooses, then the tested model is trained again with the validation part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_cases import dataset_of
from factories import make_embedding
from pandas.testing import assert_frame_equal
from safetensors.numpy import load_file

from llmesr.config import RunConfig, SplitConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.linear.build import Source, build
from llmesr.runs.record import MODEL, VALIDATED, Run
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.rerankers import RerankConfig
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.effect import effects
from llmesr.scoring.tuning.outcome import PolicyTuningConfig
from llmesr.scoring.tuning.search import tune_policy
from llmesr.store import Store
from llmesr.training import refit as refitting
from llmesr.training.load import load_scorer
from llmesr.training.loop import Loop
from llmesr.training.stopping import Stopped
from llmesr.training.train import resume, train

CUTS = {"kind": "temporal", "valid_from": 0.6, "test_from": 0.8}
SMALL = {"epochs": 4, "patience": 2, "max_length": 10, "embedding_size": 8, "neighbours": 3}


@pytest.fixture
def pair(store: Store) -> tuple[Dataset, Dataset]:
    """The same data under the same cuts, without and with a refit."""
    data = synthetic.make(store, name="shop", users=120, items=40, seed=3)
    plain, again = (resplit(data, SplitConfig.read(None, **CUTS, refit=refit), store) for refit in (False, True))
    for dataset in (plain, again):
        make_embedding(store, dataset)
    return plain, again


def trained(data: Dataset, store: Store, method: str, **settings: object) -> Run:
    read = {k: v for k, v in SMALL.items() if method in ("id", "llm-esr", "llmemb") or k == "max_length"}
    return train(data, RunConfig.read(None, method=method, **{**read, **settings}), store, device="cpu")


def test_the_split_by_hand() -> None:
    times = [[d * 86_400 for d in days] for days in ([1, 12, 25], [11, 12, 26])]
    split = SplitConfig(kind="temporal", valid_from="1970-01-11", test_from="1970-01-21", refit=True)
    data = dataset_of([[1, 2, 3], [3, 2, 1]], 3, times=times, split=split)
    whole = data.training_for("test")
    assert data.training_for("valid") is data
    assert data.item_counts.tolist() == [0, 1, 0, 0]
    assert whole.split.train_items.tolist() == [1, 2, 3, 2]
    assert whole.item_counts.tolist() == [0, 1, 2, 1]
    assert whole.thresholds == data.thresholds
    for part in ("valid", "test"):
        assert [a.tolist() for a in whole.split.pairs(part)] == [a.tolist() for a in data.split.pairs(part)]
    assert "again on training and validation" in data.split_config.describe()
    assert data.split_config.brief().endswith("refit")


def test_leave_one_out_refits_too(store: Store) -> None:
    data = dataset_of([[1, 2, 3, 4], [2, 3]], 4, split=SplitConfig(refit=True))
    whole = data.training_for("test")
    assert data.split.train_items.tolist() == [1, 2, 2, 3]
    assert whole.split.train_items.tolist() == [1, 2, 3, 2, 3]
    for part in ("valid", "test"):
        assert whole.split.pairs(part)[1].tolist() == data.split.pairs(part)[1].tolist()
        assert whole.split.input_lengths(part)[0] == data.split.input_lengths(part)[0]
    assert "again on training and validation" in data.split_config.describe()
    shop = synthetic.make(store, name="shop", users=120, items=40, seed=3)
    again = resplit(shop, SplitConfig(refit=True), store)
    assert again.split_config == SplitConfig(refit=True)
    with pytest.raises(UserError, match="split like this already"):
        resplit(again, SplitConfig(refit=True), store)
    run = trained(again, store, "ease")
    assert (run.folder / VALIDATED).exists()
    assert load_scorer(run).score(torch.tensor([[3, 9]])).shape == (1, again.n_items + 1)


def test_without_a_refit_nothing_is_said_of_it(pair: tuple[Dataset, Dataset], store: Store) -> None:
    """Ids of datasets are digests of their settings: those from before this setting stay."""
    plain, again = pair
    assert "refit" not in plain.manifest.info["split"]
    assert again.manifest.info["split"]["refit"] is True
    assert plain.id != again.id
    assert plain.training_for("test") is plain
    assert not (trained(plain, store, "item-knn").folder / VALIDATED).exists()


@pytest.mark.parametrize("method", ["popularity", "item-knn", "ease", "text-ease", "ials", "id", "llm-esr", "llmemb"])
def test_validation_is_asked_of_the_model_before(pair: tuple[Dataset, Dataset], store: Store, method: str) -> None:
    plain, again = (trained(data, store, method) for data in pair)
    before, after = plain.per_user(), again.per_user()
    on = {name: [f[f["part"] == name].reset_index(drop=True) for f in (before, after)] for name in ("valid", "test")}
    assert_frame_equal(*on["valid"], check_like=True)
    same = ["user", "target", "history_length", "target_popularity"]
    assert_frame_equal(on["test"][0][same], on["test"][1][same])  # the same questions in the same groups
    assert again.manifest.info["refit"] is True
    if method == "popularity":
        assert not on["test"][0]["rank"].equals(on["test"][1]["rank"])
        return
    first, chosen, last = (load_file(f) for f in (plain.folder / MODEL, again.folder / VALIDATED, again.folder / MODEL))
    assert all(np.array_equal(first[name], chosen[name]) for name in first)
    assert any(not np.array_equal(first[name], last[name]) for name in first)


def test_a_linear_model_is_that_of_all_before_the_test(pair: tuple[Dataset, Dataset], store: Store) -> None:
    """The same weights as training on a dataset whose training part reaches to the test."""
    plain, again = pair
    split = SplitConfig(kind="temporal", valid_from=again.split_config.test_from, test_from="2100-01-01")
    info = {**plain.manifest.info, "split": split.model_dump()}
    up_to_test = replace(plain, manifest=plain.manifest.model_copy(update={"info": info}))
    run = trained(again, store, "item-knn", fallback="none")
    expected, found = build(Source(up_to_test), run.config).tensors(), load_file(run.folder / MODEL)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert np.array_equal(tensor.numpy(), found[name]), name


def test_it_trains_for_the_best_number_of_epochs(
    pair: tuple[Dataset, Dataset], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    original = refitting.refit

    def counted(run: Run, dataset: Dataset, inputs: object, epochs: int, *rest: object) -> object:
        asked.append(epochs)
        return original(run, dataset, inputs, epochs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("llmesr.training.train.refit", counted)
    run = trained(pair[1], store, "id")
    assert asked == [run.manifest.info["best_epoch"]]
    assert run.status().best == run.manifest.info["best"]
    assert len(run.events()) == run.manifest.info["epochs"]  # the curve is that of what validation judged


def test_stopped_while_training_again_it_goes_on_to_the_same(
    pair: tuple[Dataset, Dataset], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = trained(pair[1], store, "id")
    after_epoch = Loop._after_epoch

    def stop(self: Loop, *args: object) -> None:
        after_epoch(self, *args)  # type: ignore[arg-type]
        if self.validate is None:
            raise Stopped

    monkeypatch.setattr(Loop, "_after_epoch", stop)
    with pytest.raises(Stopped):
        train(pair[1], straight.config, store, device="cpu", run_id="broken")
    monkeypatch.setattr(Loop, "_after_epoch", after_epoch)
    broken = resume(Run(store, "broken"), device="cpu")
    for name, tensor in load_file(straight.folder / MODEL).items():
        assert np.array_equal(tensor, load_file(broken.folder / MODEL)[name]), name
    assert_frame_equal(straight.per_user(), broken.per_user())
    (said, again) = (run.status().model_dump(exclude={"updated"}) for run in (straight, broken))
    assert said == again
    assert said["message"] == f"best NDCG@10 in epoch {straight.manifest.info['best_epoch']}"


def test_policies_and_blends_are_chosen_by_the_model_before(pair: tuple[Dataset, Dataset], store: Store) -> None:
    runs = {data.id: [trained(data, store, m) for m in ("item-knn", "ease")] for data in pair}
    tuned = [
        tune_policy(ScoredRun(store, of[0]), PolicyTuningConfig(emphases=(0.0,), sample=100)) for of in runs.values()
    ]
    assert [p.metrics for p in tuned[0].points] == [p.metrics for p in tuned[1].points]
    policy = ScoringPolicy(popularity=0.01)
    derived = [derive(ScoredRun(store, of[0]), policy).per_user() for of in runs.values()]
    blended = [blend(of) for of in runs.values()]
    for before, after in (derived, [b.per_user() for b in blended]):
        valid, test = ([f[f["part"] == part]["rank"].to_numpy() for f in (before, after)] for part in ("valid", "test"))
        assert np.array_equal(*valid)
        assert not np.array_equal(*test)
    told = [b.manifest.info["blend"]["weights"] for b in blended]
    assert told[0] == told[1]
    sequences = torch.tensor([[1, 2, 3]])
    tested = ScoredRun(store, runs[pair[1].id][0])
    lengths = tested.dataset.split.train_lengths
    assert tested.ground.train_lengths.tolist() == lengths.tolist()  # of before validation, as the groups are
    served = Recommender(tested)
    asked = effects(served, [RerankConfig()], part="valid")
    ranks = tested.run.per_user("valid", "full")["rank"].to_numpy()
    assert asked["HR@10"][0] == pytest.approx((ranks <= 10).mean())
    nobody = torch.tensor([-1])
    parts = [load_scorer(blended[1], part=part).score(sequences, nobody) for part in ("valid", "test")]
    assert not torch.equal(*parts)
