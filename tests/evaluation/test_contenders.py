"""Runs that belong together are found, named apart, and refused where they were judged on different things."""

from __future__ import annotations

from typing import Any

import pytest
from factories import make_dataset, make_running_run

from llmesr.config import PRESETS, UNTRAINED
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.comparable import check_comparable
from llmesr.evaluation.contenders import Contender, best_of_each, best_without_and_with_text, contenders
from llmesr.runs.record import Run, list_runs
from llmesr.store import MANIFEST, Parent, Store, write_json


def make_run(store: Store, dataset: Dataset, method: str = "llm-esr", **settings: Any) -> Run:
    """What groups runs is their manifest alone: no evaluation is needed here."""
    run: Run = make_running_run(store, dataset, method, epoch=0, **settings)
    return run


def make_standard_runs(store: Store, dataset: Dataset, *, seeds: tuple[int, ...]) -> None:
    for method in ("llm-esr", "id", "semantic-knn", "popularity"):
        for seed in seeds[:1] if method in UNTRAINED else seeds:
            make_run(store, dataset, method, seed=seed)


def names(store: Store) -> list[str]:
    return [c.name for c in contenders(list_runs(store))]


def with_policy(run: Run, describe: str) -> Run:
    manifest = run.manifest
    manifest.info["policy"] = {"run": "x", "values": {}, "describe": describe}
    manifest.parents.append(Parent(kind="runs", id="x", digest=""))
    write_json(run.folder / MANIFEST, manifest.model_dump())
    return run


def test_seeds_are_one_contender_and_methods_keep_their_order(store: Store, tiny: Dataset) -> None:
    make_standard_runs(store, tiny, seeds=(43, 42))
    found = contenders(list_runs(store))
    assert [c.name for c in found] == ["popularity", "semantic-knn", "id/sasrec", "llm-esr/sasrec"]
    assert [c.seeds for c in found] == [(43,), (43,), (42, 43), (42, 43)]
    assert found[2].method == "id"


def test_a_name_says_what_sets_configurations_apart_and_nothing_else(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "llm-esr")
    make_run(store, tiny, "llm-esr", loss="bce", epochs=50)
    make_run(store, tiny, "llm-esr", loss="bce", dropout=0.5)
    make_run(store, tiny, "llm-esr", **PRESETS["paper"])
    make_run(store, tiny, "id")
    assert sorted(names(store)) == [
        "id/sasrec",
        "llm-esr/sasrec",
        "llm-esr/sasrec (dropout=0.5, loss=bce)",
        "llm-esr/sasrec (loss=bce)",
        "llm-esr/sasrec (paper settings)",
    ]


def test_a_setting_the_method_never_reads_sets_nothing_apart(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "id", seed=42)
    make_run(store, tiny, "id", seed=43, alignment_weight=0.01, adapter_layers=1)
    make_run(store, tiny, "llmemb", seed=42)
    make_run(store, tiny, "llmemb", seed=43, alignment_weight=0.01)
    assert sorted(names(store)) == ["id/sasrec", "llmemb/sasrec", "llmemb/sasrec (alignment_weight=0.01)"]


def test_rankings_made_elsewhere_are_told_apart_by_their_source(store: Store, tiny: Dataset) -> None:
    for number, source in enumerate(("first.csv", "second.csv")):
        run = make_run(store, tiny, "id", seed=42 + number)
        manifest = run.manifest
        manifest.config = {"method": "external", "backbone": None, "source": source}
        write_json(run.folder / MANIFEST, manifest.model_dump())
    assert len(names(store)) == 2


def test_the_length_of_training_is_said_where_nothing_else_differs(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "id", epochs=5)
    make_run(store, tiny, "id", epochs=7)
    assert names(store) == ["id/sasrec (epochs=5)", "id/sasrec (epochs=7)"]


def test_of_two_runs_with_one_seed_the_newer_counts(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "id", name="old")
    newer = make_run(store, tiny, "id", name="new")
    (found,) = contenders(list_runs(store))
    assert found.ids == (newer.id,)


def test_a_policy_stands_beside_its_model_and_is_tuned_per_seed(store: Store, tiny: Dataset) -> None:
    for seed, weight in ((42, "content weight 4"), (43, "content weight 8")):
        make_run(store, tiny, "llm-esr", seed=seed)
        with_policy(make_run(store, tiny, "llm-esr", seed=seed, name=f"policy {seed}"), weight)
    found = {c.name: c.seeds for c in contenders(list_runs(store))}
    assert found == {"llm-esr/sasrec": (42, 43), "llm-esr/sasrec (tuned scoring)": (42, 43)}


def test_two_policies_for_one_seed_are_rivals(store: Store, tiny: Dataset) -> None:
    for weight in ("content weight 4", "content weight 8"):
        with_policy(make_run(store, tiny, "llm-esr", name=weight), weight)
    assert names(store) == ["llm-esr/sasrec (content weight 4)", "llm-esr/sasrec (content weight 8)"]


def test_a_subset_of_seeds(store: Store, tiny: Dataset) -> None:
    make_standard_runs(store, tiny, seeds=(42, 43))
    found = {c.name: c for c in contenders(list_runs(store))}
    kept = found["id/sasrec"].of_seeds([43])
    assert kept is not None
    assert kept.seeds == (43,)
    assert found["popularity"].of_seeds([43]) is None


def test_runs_of_two_datasets_are_refused_in_a_sentence(store: Store, tiny: Dataset) -> None:
    other = make_dataset(store, name="other", seed=5)
    make_run(store, tiny, "id")
    make_run(store, other, "id")
    with pytest.raises(UserError, match="cannot be compared"):
        check_comparable(store, [run.manifest for run in list_runs(store)])


def test_of_each_method_the_best_on_validation_as_trained(store: Store, tiny: Dataset) -> None:
    make_run(store, tiny, "llm-esr")
    better = make_run(store, tiny, "llm-esr", dropout=0.5)
    with_policy(make_run(store, tiny, "llm-esr", seed=7), "content weight 4")
    make_run(store, tiny, "id")
    make_run(store, tiny, "popularity")
    scores = {"id/sasrec": 0.2, "popularity": 0.1, "llm-esr/sasrec (dropout=0.5)": 0.15}
    every = contenders(list_runs(store))

    def validation(c: Contender) -> float:
        return 0.9 if c.tuned else scores.get(c.name, 0.05)

    assert [c.method for c in best_of_each(every, validation)] == ["popularity", "id", "llm-esr"]
    blind, reading = best_without_and_with_text(every, validation)
    assert blind is not None
    assert reading is not None
    assert (blind.name, reading.ids) == ("id/sasrec", (better.id,))
