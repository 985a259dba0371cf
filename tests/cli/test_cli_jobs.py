"""The queue from the terminal."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llmesr.cli.main import app
from llmesr.jobs.engine import LocalEngine
from llmesr.jobs.queue import Jobs
from llmesr.store import Store


def call(*words: str) -> dict[str, str]:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    document: dict[str, str] = json.loads(result.stdout)
    return document


def test_a_command_is_queued_as_typed_and_a_run_gets_its_id(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalEngine, "slots", lambda self: [])  # nothing starts
    embed = call("jobs", "submit", "--needs", "datasets/shop-1", "--json", "--", "embed", "shop", "--shard", "0/4")
    train = call("jobs", "submit", "--json", "--", "train", "shop", "--method", "id", "--processes", "2")
    assert embed["state"] == "PENDING"
    jobs = Jobs(store)
    job = jobs.get(embed["job"])
    assert job.record.parents == ["datasets/shop-1"]
    assert job.record.steps[0].command == ["embed", "shop", "--shard", "0/4"]
    step = jobs.get(train["job"]).record.steps[0]
    assert step.command[:6] == ["train", "shop", "--method", "id", "--processes", "2"]
    assert step.command[6:] == ["--run-id", step.run]
    assert str(step.run).startswith("shop-")
