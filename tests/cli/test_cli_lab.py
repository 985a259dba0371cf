"""lab launch, past, edit and repair as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab_shop import made, opened
from typer.testing import CliRunner, Result

from llmesr.cli.main import app
from llmesr.errors import UserError

pytest_plugins = ("lab_shop",)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(made()[0]))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", *arguments])


def document(*arguments: str) -> Any:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def run(name: str) -> str:
    return made()[1][name]


def test_products_from_the_line_and_from_a_file(tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("title,brand\nWool blanket,Kelp\n", encoding="utf-8")
    found = document("launch", run("text-ease"), "--title", "Desk lamp", "--set", "brand=2020", "--items", str(new))
    assert found["run"] == run("text-ease")
    assert found["protocol"] == "full"
    lamp, blanket = found["items"]
    assert "name is Desk lamp; brand is 2020" in lamp["text"]
    assert blanket["title"] == "Wool blanket"
    assert lamp["users"] == 150
    assert 0 <= lamp["reach"] <= 150
    assert lamp["hits_per_1000"] is None
    assert len(lamp["nearest"]) == 10
    words = call("launch", run("text-ease"), "--title", "Desk lamp")
    assert "Expected hits need a run on a temporal split" in " ".join(words.output.split())


def test_a_temporal_split_says_what_past_launches_came_to() -> None:
    found = document("launch", run("later"), "--title", "Desk lamp")
    [row] = document("past", run("later"))["rows"]
    assert row["launches"] > 0
    assert row["method"] == "text-ease"
    [item] = found["items"]
    assert item["no_forecast"] == row["lacking"]
    assert (item["hits_per_1000"] is None) == (row["lacking"] is not None)
    assert call("past", run("later")).exit_code == 0


def test_an_edited_text() -> None:
    item = str(opened("adapter").dataset.catalogue["item_id"].iloc[8])
    found = document("edit", run("adapter"), item, "--text", "A tent")
    assert found["text_after"].endswith("name is A tent.")
    everyone = found["everyone"]
    assert everyone["reach_after"] == everyone["reach_before"] + everyone["gained"] - everyone["lost"]
    assert document("edit", run("adapter"), item, "--set", "brand=Kelp")["text_after"] != found["text_after"]
    assert call("edit", run("adapter"), item, "--text", "A tent").exit_code == 0


def test_texts_to_repair() -> None:
    found = document("repair", run("text-ease"))
    assert found["part"] == "valid"
    assert found["texts"] == []
    assert call("repair", run("text-ease")).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("launch", "ease", "--title", "Lamp"), "only by what training left of it"),
        (("launch", "text-ease"), "at least one product"),
        (("launch", "text-ease", "--set", "brand"), "such as brand=Swingline"),
        (("edit", "text-ease", "nothing", "--text", "A tent"), "'nothing' is not in dataset"),
        (("edit", "text-ease", "x"), "Give either --text"),
        (("past", "text-ease"), "kind=temporal"),
        (("launch", "text-ease", "--items", "/no/such.csv"), "cannot be read as a CSV"),
    ],
)
def test_mistakes_are_sentences(arguments: tuple[str, ...], said: str) -> None:
    command, name, *rest = arguments
    done = call(command, run(name), *rest)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
