"""The commands that benchmarks/ kills and fills up are all there are; which of their writes are tried, and when."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

import pytest

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "benchmarks"), str(REPOSITORY / "docs")]

import commands as tried  # noqa: E402
import faults  # noqa: E402
import full_disk  # noqa: E402
import reference  # noqa: E402
import trials  # noqa: E402

from llmesr.config import MethodName  # noqa: E402


def test_every_command_is_tried() -> None:
    words = [command.words for command in (*tried.COMMANDS.values(), *tried.READERS.values())]
    known = [name.split()[1:] for name, _ in reference.commands()]
    assert [" ".join(name) for name in known if not any(given[: len(name)] == name for given in words)] == ["fetch"]
    assert "fetch" in tried.COMMANDS  # from a publisher on this machine, which only Python can name


def test_every_method_is_tried() -> None:
    trained = {words[words.index("--method") + 1] for c in tried.COMMANDS.values() if "--method" in (words := c.words)}
    assert set(get_args(MethodName)) <= trained


def test_of_equal_writes_the_first_and_the_last_are_tried() -> None:
    assert faults.telling([]) == []
    assert faults.telling(["mkdir a", "write a", "write a", "write a", "sync a", "write a"]) == [0, 1, 2, 3, 4, 5]
    assert faults.telling(["write a"] * 9 + ["sync a"]) == [0, 1, 8, 9]
    tried: set[tuple[str, str]] = set()
    assert faults.telling(["mkdir a", "write a"], tried) == [0, 1]
    assert faults.telling(["mkdir a", "write a", "sync a"], tried) == [2]  # the others were tried with another command


def test_a_role_is_a_step_whatever_the_artifact_is_called() -> None:
    assert faults.role("write artifacts/runs/new/model.safetensors") == "write artifacts/runs/*/model.safetensors"
    assert faults.role("rename artifacts/runs/new") == "rename artifacts/runs/*"
    assert faults.role("mkdir artifacts/runs/.scratch.*") == "mkdir artifacts/runs/.scratch.*"
    assert faults.role("write artifacts/.lock") == "write artifacts/.lock"


def test_two_trials_that_leave_the_same_are_the_same_state(tmp_path: Path) -> None:
    def left(folder: str, **values: object) -> str:
        place = tmp_path / folder / "artifacts" / "runs"
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(json.dumps({"id": "a", "created": "2026-11-27T01:00:00+00:00", **values}))
        (place / ".lock").write_text(folder)
        return str(trials.state(tmp_path / folder))

    known = left("first", train_seconds=1.5)
    assert left("second", train_seconds=2.5, created="2026-11-28T02:00:00+00:00") == known
    assert left("third", train_seconds=1.5, epoch=2) != known


def test_an_interrupted_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "noted"
    notes = full_disk.Notes.of(file)
    notes.counted("ingest", ["mkdir a", "write a", "write a", "write a"], 0.2)
    notes.add({"command": "ingest", "write": 1, "found": {"said": [], "torn": ["datasets/a"]}})
    again = full_disk.Notes.of(file)
    assert (again.writes, again.seconds, again.found) == (notes.writes, notes.seconds, notes.found)
    assert [(fault["write"], fault["of"], fault["torn"]) for fault in again.faults()] == [
        (1, "write a", ["datasets/a"])
    ]
    planned = full_disk.planned(again, {"ingest": tried.COMMANDS["ingest"]}, 0, every=True)
    assert [*dict.fromkeys(planned)] == [("ingest", number) for number in (0, 1, 2, 3)]
    file.write_text(file.read_text().replace(full_disk.code_digest(), "another"))
    with pytest.raises(SystemExit, match="another code"):
        full_disk.Notes.of(file)


def test_steps_are_equal_but_for_what_is_another_each_time(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    noted.write_text(f"write {tmp_path}/runs/.scratch.ab_12xyz/epoch-3.json\nrename {tmp_path}/runs/a/.b.0123abcd\n")
    assert faults.steps(noted, tmp_path) == ["write runs/.scratch.*/epoch-*.json", "rename runs/a/.b.*"]
