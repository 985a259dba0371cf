"""llmesr findings: listed, shown, exported, deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from factories import make_dataset, make_run
from typer.testing import CliRunner

from llmesr import findings
from llmesr.cli.main import app
from llmesr.errors import UserError
from llmesr.store import Store


def say(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def made(store: Store) -> list[findings.Pinned]:
    run = make_run(store, make_dataset(store), "id")
    table = pd.DataFrame({"group": ["Tail Item"], "value": [0.25]})
    return [findings.pin(t, table=table, note=f"note of {t}", runs=[run]) for t in ("First", "Second")]


def test_they_are_listed_in_order_and_shown(made: list[findings.Pinned], store: Store) -> None:
    findings.move(made[1], -1)
    listed = json.loads(say("findings", "list", "--json"))["findings"]
    assert [f["title"] for f in listed] == ["Second", "First"]
    shown = say("findings", "show", "First")
    assert "note of First" in shown
    assert "0.25" in shown
    document = json.loads(say("findings", "show", made[0].id, "--json"))
    assert document["table"] == {"columns": ["group", "value"], "rows": [["Tail Item", 0.25]]}
    store.delete("runs", made[0].subject.runs[0])
    assert "is gone" in json.loads(say("findings", "show", "First", "--json"))["changes"][0]


def test_some_or_all_are_exported(made: list[findings.Pinned], tmp_path: Path) -> None:
    say("findings", "export", str(tmp_path / "all.html"), "--title", "Board meeting")
    text = (tmp_path / "all.html").read_text()
    assert all(word in text for word in ("Board meeting", "note of First", "note of Second"))
    say("findings", "export", str(tmp_path / "one.html"), "Second")
    assert "note of First" not in (tmp_path / "one.html").read_text()


def test_deleting_and_what_is_not_there(made: list[findings.Pinned], store: Store) -> None:
    say("findings", "delete", "First", "--yes")
    assert [f.title for f in findings.every(store)] == ["Second"]
    with pytest.raises(UserError, match="no finding called 'First'"):
        CliRunner().invoke(app, ["findings", "show", "First"], catch_exceptions=False)
