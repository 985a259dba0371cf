"""allocate as a person types it."""

from __future__ import annotations

import json

import pytest
from factories import make_embedding
from typer.testing import CliRunner, Result

from llmesr.cli.main import app
from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training.train import train


def call(*words: str) -> Result:
    found = CliRunner().invoke(app, ["allocate", *words], catch_exceptions=True)
    if isinstance(found.exception, UserError):
        raise found.exception
    return found


@pytest.fixture
def runs(store: Store, tiny: Dataset) -> list[Run]:
    make_embedding(store, tiny)
    return [train(tiny, RunConfig(method=m, max_length=10), store) for m in ("popularity", "text-ease")]


def test_the_report_for_programs_and_for_people(store: Store, runs: list[Run]) -> None:
    told = call(runs[0].id, "--second", runs[1].id, "--set", "share=0.4")
    assert told.exit_code == 0, told.output
    for words in ("Who they are", "Chosen on validation", "48 of 120 users are weak"):
        assert (words in told.output) == (words != "Chosen on validation")
    document = json.loads(call(runs[0].id, "--second", runs[1].id, "--set", "share=0.4", "--json").stdout)
    assert document["share"] == 0.4
    assert store.exists("runs", document["run"])
    assert {row["run"] for row in document["tests"]} == {"allocated", "random order", "random users"}
    assert {row["protocol"] for row in document["rows"]} == {"full", "uni100"}
    assert {"low", "high", "p_adjusted"} <= set(document["tests"][0])
    compared = CliRunner().invoke(app, ["compare", runs[0].id, document["run"]])
    assert compared.exit_code == 0, compared.output


def test_where_nobody_is_handed_over_there_is_no_run(store: Store, runs: list[Run]) -> None:
    found = call(runs[1].id, "--second", runs[0].id, "--set", "share=0")
    assert found.exit_code == 0, found.output
    assert "Nobody is handed over" in found.output
    document = json.loads(call(runs[1].id, "--second", runs[0].id, "--set", "share=0", "--json").stdout)
    assert (document["run"], document["share"], document["tests"]) == (None, 0.0, [])


def test_mistakes_are_sentences(store: Store, runs: list[Run]) -> None:
    with pytest.raises(UserError, match="--validation goes with a file"):
        call(runs[0].id, "--second", runs[1].id, "--validation", "x.csv")
    with pytest.raises(UserError, match="prompt lacks"):
        call(runs[0].id, "--second", runs[1].id, "--set", "prompt=hello")
