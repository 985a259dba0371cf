"""The commands that benchmarks/ kills and fills up are all there are; which of their writes are tried."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "benchmarks"), str(REPOSITORY / "docs")]

import commands as tried  # noqa: E402
import faults  # noqa: E402
import reference  # noqa: E402

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


def test_steps_are_equal_but_for_what_is_another_each_time(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    noted.write_text(f"write {tmp_path}/runs/.scratch.ab_12xyz/epoch-3.json\nrename {tmp_path}/runs/a/.b.0123abcd\n")
    assert faults.steps(noted, tmp_path) == ["write runs/.scratch.*/epoch-*.json", "rename runs/a/.b.*"]
