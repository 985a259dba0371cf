"""What benchmarks/best.py --emphasis says of sums beside single methods."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from emphasis import METRICS, lacking, on_validation, told

import llmesr
from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.evaluation.table import metric_table
from llmesr.store import Store
from llmesr.training.train import train

TAIL, HEAD = "full/Tail Item/NDCG@10", "uni100/Head Item/HR@10"
SINGLE = {"popularity": {TAIL: 0.1, HEAD: 0.7}, "text-ease": {TAIL: 0.3, HEAD: 0.4}}


def test_each_measure_has_its_own_best_single_method() -> None:
    assert lacking({TAIL: 0.3, HEAD: 0.7}, SINGLE) == []
    assert lacking({TAIL: 0.2, HEAD: 0.8}, SINGLE) == [(TAIL, 0.2, 0.3, "text-ease")]
    assert [lack.name for lack in lacking({TAIL: 0.2, HEAD: 0.5}, SINGLE)] == ["text-ease", "popularity"]


def test_a_row_for_each_emphasis_and_what_it_lacks() -> None:
    table, lacks = "\n".join(told({0: {TAIL: 0.2, HEAD: 0.8}, 1: {TAIL: 0.3, HEAD: 0.7}}, SINGLE)).split("\n\n", 1)
    assert table.splitlines()[2:] == ["| 0 | 0.2000 | 0.8000 | 1 of 2 |", "| 1 | 0.3000 | 0.7000 | 0 of 2 |"]
    assert lacks.splitlines() == [
        "Emphasis 0: below a single method in",
        f"- {TAIL}: 0.2000 against 0.3000 of text-ease (-0.1000)",
        "",
        "Emphasis 1: nowhere below a single method.",
    ]


def test_measures_are_means_over_seeds_of_validation_alone(store: Store, tiny: Dataset) -> None:
    runs = [train(tiny, RunConfig.read(None, method=method), store) for method in ("ease", "item-knn")]
    runs.append(llmesr.blend(*runs))
    found = on_validation(runs, tiny)
    for protocol in ("full", "uni100"):
        frames = [run.per_user() for run in runs]
        tables = [metric_table(f, tiny.thresholds, protocol=protocol, part="valid", ks=[10]) for f in frames]
        each = [table[table["dimension"].isin(["overall", "item", "user"])] for table in tables]
        values = [table.set_index(["group", "metric"])["value"] for table in each]
        for group, metric in (("Overall", METRICS[0]), ("Tail Item", METRICS[1]), ("Head User", METRICS[0])):
            expected = sum(of[group, metric] for of in values) / len(runs)
            assert found[f"{protocol}/{group}/{metric}"] == pytest.approx(expected)
