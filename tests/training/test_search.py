"""A search is a record of ordinary runs: it goes on where it was, prunes, judges by validation, refuses in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_embedding

import llmesr
from llmesr.config import RunConfig, SearchConfig
from llmesr.data.dataset import Dataset, load_dataset, save_thresholds
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.table import event_metrics
from llmesr.runs.record import Run
from llmesr.runs.search import Search
from llmesr.store import Store
from llmesr.training import search as searching
from llmesr.training.search import resume_search, search, settled, trial_config, values
from llmesr.training.space import default_space
from llmesr.training.stopping import Stopped
from llmesr.training.train import resume, train

FIXED: dict[str, Any] = {"method": "id", "batch_size": 32, "max_length": 8, "embedding_size": 8, "layers": 1}
SPACE = {"learning_rate": {"low": 1e-4, "high": 0.05, "log": True}, "dropout": [0.0, 0.3, 0.6]}


def config(**changes: Any) -> SearchConfig:
    plain = {"trials": 4, "epochs": 2, "random_trials": 2, "warmup": 1, "fixed": FIXED, "space": SPACE}
    return SearchConfig.read(None, **{**plain, **changes})


def outcome(found: Search) -> list[tuple[Any, ...]]:
    return [(t["trial"], t["state"], t["settings"], t["value"], t["reported"]) for t in found.trials()]


class StopsInTraining:
    """``train`` that is asked to stop in the given epoch of the given trial."""

    def __init__(self, trial: int, epoch: int) -> None:
        self.left, self.epoch = trial, epoch

    def __call__(self, *args: Any, give_up: Any, **kwargs: Any) -> Run:
        self.left -= 1

        def stopping(run: Run) -> str | None:
            if self.left == 0 and len(run.events()) == self.epoch:
                raise Stopped
            reason: str | None = give_up(run)
            return reason

        return train(*args, give_up=stopping, **kwargs)


def test_a_stopped_search_goes_on_to_the_same_trials(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(tiny, config(), store, search_id="whole")
    with monkeypatch.context() as patch:
        patch.setattr(searching, "train", StopsInTraining(trial=3, epoch=1))
        with pytest.raises(Stopped):
            search(tiny, config(), store, search_id="broken")
    broken = Search(store, "broken")
    assert (broken.status().state, len(broken.trials())) == ("STOPPED", 2)
    assert Run(store, "broken-03").status().state == "STOPPED"
    with open(broken.folder / "events.jsonl", "a", encoding="utf-8") as handle:
        handle.write('{"trial": 3, "sta')  # as a crash leaves it
    resume_search(broken)
    assert outcome(broken) == outcome(whole)
    assert broken.status().state == "SUCCEEDED"
    assert broken.manifest.info["run"].replace("broken", "whole") == whole.manifest.info["run"]
    assert broken.manifest.info["importance"] == whole.manifest.info["importance"]
    with pytest.raises(UserError, match="is finished"):
        resume_search(broken)


def test_the_best_run_is_the_best_on_validation_and_all_are_ordinary_runs(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmesr.training.search.ENOUGH", 4)
    found = search(tiny, config(objective="Balanced", pruning=False), store)
    trials = found.trials()
    by_hand = []
    for trial in trials:
        run = Run(store, trial["run"])
        assert run.config.learning_rate == trial["settings"]["learning_rate"]
        frame = run.per_user()
        metrics = event_metrics(frame[frame["part"] == "valid"], tiny.thresholds)
        by_hand.append((metrics["full/Overall/NDCG@10"] * metrics["full/Tail Item/NDCG@10"]) ** 0.5)
    assert [t["value"] for t in trials] == pytest.approx(by_hand)
    assert found.manifest.info["run"] == trials[int(np.argmax(by_hand))]["run"]
    assert {p.kind for p in found.manifest.parents} == {"datasets"}
    assert set(found.manifest.info["importance"]) == set(SPACE)
    table = found.table()
    assert table["best"].tolist() == np.maximum.accumulate(by_hand).tolist()
    assert {"learning_rate", "dropout"} <= set(table.columns)


def test_the_test_part_decides_nothing(tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is on the test part, and even if nothing of it can be read."""
    whole = search(tiny, config(), store, search_id="whole")

    def unread(self: Run) -> Any:
        raise AssertionError("a search read the evaluation of a run, which has test rows")

    for name in ("per_user", "metrics", "top_items"):
        monkeypatch.setattr(Run, name, unread)
    assert outcome(search(tiny, config(), store, search_id="blind")) == outcome(whole)


def test_a_hopeless_trial_is_pruned_and_is_no_finished_run(tiny: Dataset, store: Store) -> None:
    space = {"learning_rate": [1e-7, 0.02]}
    found = search(tiny, config(trials=6, epochs=3, random_trials=1, space=space, seed=3), store)
    pruned = [t for t in found.trials() if t["state"] == "pruned"]
    assert pruned
    assert sum(t["reason"].startswith("the settings of trial") for t in found.trials()) == 4  # two choices, six trials
    assert len(store.list("runs")) == 2
    for trial in pruned:
        assert trial["settings"] == {"learning_rate": 1e-7}
        run = Run(store, trial["run"])
        assert run.status().state == "STOPPED"
        assert "below the median" in run.status().message
        assert len(run.events()) < 3
        assert not (run.folder / "per_user.parquet").exists()
    run = resume(Run(store, pruned[0]["run"]))  # who wants it all the same
    assert (run.status().state, len(run.events())) == ("SUCCEEDED", 3)


def test_settings_that_do_not_go_together_are_a_failed_trial(tiny: Dataset, store: Store) -> None:
    space = {"heads": [1, 3]}
    found = search(tiny, config(trials=3, epochs=1, space=space, seed=3), store)
    failed = [t for t in found.trials() if t["state"] == "failed"]
    assert failed
    assert failed[0]["run"] is None
    assert "must divide" in failed[0]["reason"]
    with pytest.raises(UserError, match=r"No trial of search .* came to an end. The last: .*must divide"):
        search(tiny, config(trials=1, space={"heads": [3]}), store, search_id="none")
    assert Search(store, "none").status().state == "FAILED"


def test_the_usual_space_holds_what_the_method_reads() -> None:
    esr = settled(SearchConfig(fixed={"method": "llm-esr", "dropout": 0.4})).space
    assert {"learning_rate", "fusion", "distillation_weight"} <= set(esr)
    assert not {"alignment_weight", "dropout"} & set(esr)
    gru = settled(SearchConfig(fixed={"method": "id", "backbone": "gru4rec"})).space
    assert not {"fusion", "adapter_layers"} & set(gru)


def test_a_trial_is_watched_by_what_the_search_maximises() -> None:
    chosen = settled(config(objective="Tail User", metric="HR@5", protocol="uni100", preset="paper", seed=7))
    made = trial_config(chosen, {"dropout": 0.6})
    assert (made.monitor, made.monitor_group, made.monitor_protocol) == ("HR@5", "Tail User", "uni100")
    assert (made.loss, made.dropout, made.epochs, made.seed) == ("bce", 0.6, 2, 7)
    assert isinstance(made, RunConfig)


def test_values_skip_epochs_without_validation() -> None:
    events = pd.DataFrame(
        {"epoch": [1, 2], "full/Overall/NDCG@10": [np.nan, 0.04], "full/Tail Item/NDCG@10": [0, 0.01]}
    )
    assert values(events, SearchConfig()) == {2: 0.04}
    assert values(events, SearchConfig(objective="Balanced")) == {2: pytest.approx(0.02)}
    assert values(pd.DataFrame(), SearchConfig()) == {}


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"learning_rat": [1]}, "Unknown setting 'learning_rat' in the space"),
        ({"fusion": ["none"]}, "'id' with 'sasrec' does not read 'fusion'"),
        ({"seed": [1, 2]}, "'seed' is the same in all trials"),
        ({"layers": [1, 2]}, "'layers' is both fixed and in the space"),
        ({"dropout": []}, "'dropout' in the space needs a list of choices"),
        ({"dropout": [0.1, 1.5]}, "'dropout' cannot be 1.5: Input should be less than 1"),
        ({"dropout": {"low": 0.1}}, "range of 'dropout' in the space is not valid. Setting 'high'"),
        ({"dropout": {"low": 0.1, "high": 0.2, "step": 1}}, "Unknown setting 'step'. Known: low, high, log"),
        ({"dropout": {"low": 0.5, "high": 0.2}}, "needs low below high, not 0.5 and 0.2"),
        ({"dropout": {"low": 0.0, "high": 0.2, "log": True}}, "starts at 0.0; with log it must be above 0"),
        ({"loss": {"low": 1, "high": 2}}, "'loss' is not a number"),
    ],
)
def test_a_space_that_cannot_be_is_refused_in_a_sentence(space: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as refused:
        settled(config(space=space))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fixed", "says"),
    [
        ({"method": "popularity"}, "'popularity' is not trained"),
        ({"method": "id", "fusion": "none"}, "does not read fusion"),
        ({"monitor": "HR@5"}, "'monitor' of a trial follows from the search's own settings"),
        ({"method": "id", "dropot": 0.1}, "Unknown setting 'dropot'"),
    ],
)
def test_a_fixed_setting_that_cannot_be_is_refused_in_a_sentence(fixed: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        settled(SearchConfig(fixed=fixed))


def test_a_group_without_anybody_cannot_be_searched_for(tiny: Dataset, store: Store) -> None:
    save_thresholds(store, tiny.id, Thresholds(item=1, user=1))
    with pytest.raises(UserError, match="Nobody to validate on is in 'Tail Item'"):
        search(load_dataset(store, tiny.id), config(objective="Balanced"), store)


def test_a_search_does_not_go_on_by_another_head_and_tail(
    tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for objective in ("Balanced", "Overall"):
        with monkeypatch.context() as patch:
            patch.setattr(searching, "train", StopsInTraining(trial=1, epoch=1))
            with pytest.raises(Stopped):
                search(tiny, config(trials=1, epochs=2, objective=objective), store, search_id=objective.lower())
    quest = Search(store, "balanced")
    assert quest.thresholds == tiny.thresholds.model_dump()
    save_thresholds(store, tiny.id, Thresholds(item=2, user=2))
    with pytest.raises(UserError, match="measured by another head and tail"):
        resume_search(quest)
    assert resume_search(Search(store, "overall")).status().state == "SUCCEEDED"


def test_a_search_keeps_to_the_text_it_began_with(tiny: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {**FIXED, "method": "adapter"}
    text = make_embedding(store, tiny, id="first")
    with monkeypatch.context() as patch:
        patch.setattr(searching, "train", StopsInTraining(trial=2, epoch=1))
        with pytest.raises(Stopped):
            search(tiny, config(trials=3, epochs=2, fixed=fixed), store, search_id="quest")
    make_embedding(store, tiny, id="newer")
    quest = resume_search(Search(store, "quest"))
    assert {p.id for p in quest.manifest.parents} == {tiny.id, text.id}
    assert {Run(store, t["run"]).manifest.parent("embeddings") for t in quest.trials()} == {text.id}


@pytest.mark.parametrize("kind", ["leave-one-out", "temporal"])
@pytest.mark.parametrize("method", ["ease", "text-ease", "item-knn"])
def test_linear_methods_are_searched_under_both_splits(method: str, kind: str, tiny: Dataset, store: Store) -> None:
    data = tiny if kind == "leave-one-out" else llmesr.split(tiny, kind=kind, store=store)
    make_embedding(store, data)
    found = search(data, SearchConfig(trials=3, fixed={"method": method}), store)
    trials = found.trials()
    assert {t["state"] for t in trials} == {"complete"}
    known = {"ease": "ridge", "text-ease": "text_weight", "item-knn": "shrinkage"}[method]
    assert len({t["settings"][known] for t in trials}) == 3
    ranks = Run(store, found.manifest.info["run"]).per_user()
    judged = event_metrics(ranks[ranks["part"] == "valid"], data.thresholds, ["NDCG@10"])
    assert found.manifest.info["value"] == pytest.approx(judged["full/Overall/NDCG@10"])
    assert found.manifest.info["value"] == max(t["value"] for t in trials)


def test_what_would_do_nothing_is_not_searched() -> None:
    assert "alignment_weight" in default_space("llmemb", "sasrec", {})
    assert "alignment_weight" not in default_space("llmemb", "sasrec", {"adapter": False})
    assert "fusion" not in default_space("llm-esr", "sasrec", {"semantic_view": False})
