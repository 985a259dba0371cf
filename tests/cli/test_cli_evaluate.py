"""evaluate and compare as a person or a script calls them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories import make_dataset, make_run, make_running_run
from typer.testing import CliRunner, Result

from llmesr.cli.main import app
from llmesr.config import GROUPS, RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.table import metric_table
from llmesr.runs.record import Run, find_run, list_runs
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import MANIFEST, Store, write_json
from llmesr.training.train import train


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], standalone_mode=False)


def document(*words: object) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def refusal(*words: object) -> str:
    error = call(*words).exception
    assert isinstance(error, UserError), error
    return str(error)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two seeds of one configuration, a better run and a baseline, made once."""
    store = Store(tmp_path_factory.mktemp("made"))
    data = make_dataset(store)
    seeds = [make_run(store, data, "id", seed=s) for s in (42, 43)]
    return [*seeds, make_run(store, data, "llm-esr", tail_skill=2.5), make_run(store, data, "popularity")]


@pytest.fixture
def runs(store: Store, made: list[Run]) -> list[Run]:
    """Copies of them that a test may change."""
    shutil.copytree(made[0].store.root, store.root, dirs_exist_ok=True)
    return [Run(store, run.id) for run in made]


def test_compare_rows_follow_the_contract(store: Store, runs: list[Run]) -> None:
    found = document("compare", *[r.id for r in runs], "--protocol", "uni100")
    rows = pd.DataFrame(found["rows"])
    assert list(rows.columns[:5]) == ["run", "method", "backbone", "protocol", "part"]
    assert set(rows["run"]) == {r.id for r in runs}
    assert set(rows["group"]) == set(GROUPS)
    assert set(rows["metric"]) == {"HR@10", "NDCG@10"}
    assert set(rows["protocol"]) == {"uni100"}
    assert set(zip(rows["method"], rows["backbone"].fillna("none"), strict=True)) == {
        ("id", "sasrec"),
        ("llm-esr", "sasrec"),
        ("popularity", "none"),
    }
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()
    thresholds = load_dataset(store, "shop").thresholds
    expected = metric_table(runs[2].per_user(), thresholds, protocol="uni100").set_index(["group", "metric"])
    for row in rows[rows["run"] == runs[2].id].to_dict("records"):
        assert row["value"] == pytest.approx(expected.loc[(row["group"], row["metric"]), "value"])
        assert row["users"] == expected.loc[(row["group"], row["metric"]), "users"]


def test_seeds_are_one_configuration_in_tests_and_verdicts(runs: list[Run]) -> None:
    found = document("compare", *[r.id for r in runs], "--metric", "HR@10")
    configurations = {r["configuration"]: r for r in found["configurations"] if r["group"] == "Overall"}
    assert set(configurations) == {"id/sasrec", "llm-esr/sasrec", "popularity"}
    assert configurations["id/sasrec"]["seeds"] == 2
    assert configurations["id/sasrec"]["spread"] is not None
    seeds = [r["value"] for r in found["rows"] if r["method"] == "id" and r["group"] == "Overall"]
    assert configurations["id/sasrec"]["value"] == pytest.approx(sum(seeds) / 2)
    assert {(t["run"], t["baseline"]) for t in found["tests"]} == {
        ("llm-esr/sasrec", "id/sasrec"),
        ("popularity", "id/sasrec"),
    }
    said = next(v["verdict"] for v in found["verdicts"] if v["run"] == "llm-esr/sasrec")
    assert "on tail items (+0." in said
    other = document("compare", *[r.id for r in runs], "--baseline", runs[3].id)
    assert {t["baseline"] for t in other["tests"]} == {"popularity"}


def test_thresholds_and_parts_move_without_evaluating_again(runs: list[Run]) -> None:
    one = document("compare", runs[0].id, runs[2].id, "--tail-item", 10_000, "--tail-user", 1)
    users = {r["group"]: r["users"] for r in one["rows"]}
    assert users["Tail Item"] == users["Overall"]
    assert users["Tail User"] == 0
    assert next(r for r in one["rows"] if r["group"] == "Tail User")["value"] is None
    valid = document("compare", runs[0].id, runs[2].id, "--part", "valid")
    test = document("compare", runs[0].id, runs[2].id)
    assert [r["value"] for r in valid["rows"]] != [r["value"] for r in test["rows"]]


def test_tables_for_people_show_groups_protocol_and_definition(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = call("compare", *[r.id for r in runs], "--all-groups", "--beyond").stdout
    for expected in (*GROUPS, "full ranking", "id/sasrec (2 seeds)", "Tail User x Tail Item", "Gini@10", "Jaccard"):
        assert expected in text
    assert "Tail item: fewer than" in text
    assert "Against id/sasrec" in text


def test_one_run_alone_is_shown_without_tests(runs: list[Run]) -> None:
    found = document("compare", runs[0].id)
    assert "tests" not in found
    assert len(found["rows"]) == 10


def test_runs_of_other_datasets_are_refused_naming_what_differs(store: Store, runs: list[Run]) -> None:
    other = make_run(store, make_dataset(store, name="other", seed=9), "id")
    message = refusal("compare", runs[0].id, other.id)
    assert "different datasets" in message
    assert "name: 'shop' and 'other'" in message
    manifest = store.manifest("datasets", other.dataset_id)
    manifest.seed = 1234
    write_json(store.path("datasets", manifest.id) / MANIFEST, manifest.model_dump())
    assert "seed of the uni100 negatives: " in refusal("compare", runs[0].id, other.id)
    assert "and 1234" in refusal("compare", runs[0].id, other.id)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "Precision@10"], "'Precision@10' is not a metric"),
        (["--baseline", "nothing"], "no run called 'nothing'"),
    ],
)
def test_what_cannot_be_compared_is_said(runs: list[Run], words: str, message: str) -> None:
    assert message in refusal("compare", runs[0].id, runs[2].id, *words)


def test_a_run_without_evaluation_is_named(store: Store, runs: list[Run]) -> None:
    live = make_running_run(store, load_dataset(store, "shop"))
    assert f"{live.id!r} has no evaluation yet" in refusal("compare", runs[0].id, live.id)


def test_evaluate_recomputes_what_training_stored(store: Store, tiny: Dataset) -> None:
    run = train(tiny, RunConfig(method="id", epochs=1, embedding_size=8, layers=1), store, device="cpu")
    before, top = run.per_user(), run.top_items()
    (run.folder / "per_user.parquet").unlink()
    found = document("evaluate", run.id, "--device", "cpu")
    assert run.per_user().equals(before)
    assert (run.top_items() == top).all()
    assert {r["protocol"] for r in found["rows"]} == {"full", "uni100"}
    assert len(found["rows"]) == 2 * 5 * 9
    assert {r["metric"] for r in found["rows"]} >= {"HR@5", "NDCG@10", "MRR@20"}
    assert run.status().state == "SUCCEEDED"
    assert len(document("evaluate", run.id, "--protocol", "full", "--metric", "HR@3", "--beyond")["rows"]) == 5 + 3 * 5


def test_a_run_that_stands_for_a_policy_is_evaluated_under_it(store: Store, tiny: Dataset) -> None:
    run = train(tiny, RunConfig(method="id", epochs=2, embedding_size=8, layers=1), store, device="cpu")
    policy = ScoringPolicy(route_threshold=10_000, route_weight=0.0)  # every item routed: every score 0
    derived = derive(ScoredRun(store, run), policy)
    before = derived.per_user()
    assert not before["rank"].equals(run.per_user()["rank"])
    document("evaluate", derived.id, "--device", "cpu")
    assert derived.per_user().equals(before)
    assert len(document("compare", run.id, derived.id)["tests"]) == 10


def test_evaluate_a_ranking_made_elsewhere(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    counts = tiny.item_counts
    rows = [
        (user, tiny.catalogue["item_id"][i - 1], counts[i])
        for user in tiny.user_ids
        for i in range(1, tiny.n_items + 1)
    ]
    file = tmp_path / "als.v2.csv"
    pd.DataFrame(rows, columns=["user_id", "item_id", "score"]).to_csv(file, index=False)
    found = document("evaluate", "--ranking", file, "--dataset", "tiny", "--name", "als")
    run = find_run(store, "als")
    assert (run.label, run.status().state) == ("external", "SUCCEEDED")
    assert {(r["run"], r["method"], r["backbone"]) for r in found["rows"]} == {(run.id, "external", None)}
    popularity = train(tiny, RunConfig(method="popularity"), store, device="cpu")
    both = document("compare", popularity.id, "als", "--protocol", "uni100")
    assert {t["difference"] for t in both["tests"] if t["users"]} == {0}
    again = document("evaluate", "--ranking", file, "--dataset", "tiny", "--name", "als")
    assert again["rows"] == found["rows"]
    assert len(list_runs(store)) == 2
    assert "ranking made elsewhere" in refusal("evaluate", "als")


def test_evaluate_needs_one_thing_to_evaluate(store: Store, tiny: Dataset, tmp_path: Path) -> None:
    assert "Give a run, or --ranking" in refusal("evaluate")
    assert "--ranking needs --dataset" in refusal("evaluate", "--ranking", tmp_path / "x.csv")
    assert "no file" in refusal("evaluate", "--ranking", tmp_path / "x.csv", "--dataset", "tiny")
    assert list_runs(store) == []


def test_empty_groups_are_null_in_json_and_dashes_for_people(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = call("compare", runs[0].id, runs[2].id, "--tail-user", 1).stdout
    assert " - " in text
    assert "no users in this group" in text
    assert Thresholds(item=1, user=1).describe().split(".")[1] in text
    assert not math.isnan(document("compare", runs[0].id)["rows"][0]["value"])
