"""search as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmesr.cli.main import app
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.runs.search import Search
from llmesr.store import Store

SMALL = ["method=id", "batch_size=64", "max_length=8", "embedding_size=8", "layers=1", "epochs=1", "random_trials=2"]


def call(*words: object) -> Result:
    sets = [w for pair in SMALL for w in ("--set", pair)] if "--resume" not in words else []
    return CliRunner().invoke(app, ["search", *map(str, words), *sets], standalone_mode=False)


def refusal(*words: object) -> str:
    error = call(*words).exception
    assert isinstance(error, UserError), error
    return str(error)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 1e-4, high: 0.05, log: true}\nloss: [ce, bce]\n")
    return path


def test_the_document_follows_the_contract(store: Store, tiny: Dataset, space: Path) -> None:
    result = call("tiny", "--trials", 3, "--space", space, "--objective", "Tail User", "--run-id", "quest", "--json")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert found["search"] == "quest"
    assert [t["trial"] for t in found["trials"]] == [1, 2, 3]
    best = max((t for t in found["trials"] if t["state"] == "complete"), key=lambda t: t["value"])
    assert (found["run"], found["value"]) == (best["run"], best["value"])
    assert set(best["settings"]) == {"learning_rate", "loss"}
    assert best["run"].startswith("quest-0")
    assert Run(store, best["run"]).config.monitor_group == "Tail User"
    assert Search(store, "quest").config.fixed["embedding_size"] == 8
    listed = CliRunner().invoke(app, ["list", "search", "--json"], standalone_mode=False)
    assert [m["id"] for m in json.loads(listed.stdout)["artifacts"]] == ["quest"]


def test_the_table_for_people_has_every_trial(
    store: Store, tiny: Dataset, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = call("tiny", "--trials", 2, "--space", space)
    for expected in ("learning_rate", "loss", "complete", "Overall NDCG@10 (full) on validation", "Best: run"):
        assert expected in result.output


def test_what_cannot_be_is_refused_in_a_sentence(store: Store, tiny: Dataset, space: Path, tmp_path: Path) -> None:
    assert "Name the dataset" in refusal()
    assert "give nothing else" in refusal("tiny", "--resume", "quest")
    assert "Setting 'trials' = 0 is not valid" in refusal("tiny", "--trials", 0)
    assert "Setting 'objective' = 'Middle' is not valid" in refusal("tiny", "--objective", "Middle")
    assert "Cannot read the space" in refusal("tiny", "--space", tmp_path / "none.yaml")
    space.write_text("- learning_rate")
    assert "must name settings" in refusal("tiny", "--space", space)
    space.write_text("learning_rate: [0.1, -1]")
    assert refusal("tiny", "--space", space) == "Setting 'learning_rate' cannot be -1: Input should be greater than 0."
    assert store.list("searches") == []
