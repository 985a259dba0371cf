"""The scripts that try the program hard, each at a small size; their docstrings tell how the full size is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REPOSITORY = Path(__file__).parents[1]
NO_COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler to build faults.c with")


def tried(tmp_path: Path, script: str, *words: str) -> dict[str, Any]:
    """The figures of a script of benchmarks/."""
    file = tmp_path / "figures.json"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / script), *words, "--json", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert file.is_file(), done.stderr[-4000:]
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def test_commands_killed_at_any_moment(tmp_path: Path) -> None:
    found = tried(tmp_path, "kills.py", "--kills", "8", "--only", "ingest,train id,export,evaluate")
    assert found["kills"] == 8
    assert found["faults"] == []
    after = found["doctor after a kill of each in one store"]
    if after:  # there is a C compiler to build faults.c with
        assert after["killed"] >= 2
        assert (after["code"], after["remains"]) == (0, [])


def test_a_job_whose_worker_or_command_is_killed(tmp_path: Path) -> None:
    found = tried(tmp_path, "job_kills.py", "--kills", "3")
    assert (found["kills"], found["faults"]) == (3, [])


def test_mutated_uploads_and_archives(tmp_path: Path) -> None:
    found = tried(tmp_path, "uploads.py", "--files", "12", "--pages", "2", "--archives", "20")
    assert (found["uploads"]["files"], found["uploads"]["faults"]) == (12, [])
    assert found["archives"]["faults"] == []
    assert found["uploads"]["peak_megabytes"] < 1000


@NO_COMPILER
def test_a_disk_that_is_full_at_any_write(tmp_path: Path) -> None:
    found = tried(tmp_path, "full_disk.py", "--only", "ingest,train id,evaluate", "--most", "4")
    assert set(found["by command"]) == {"ingest", "train id", "evaluate"}
    assert found["tried"] == 12
    assert found["faults"] == []


@NO_COMPILER
def test_a_clock_that_jumps(tmp_path: Path) -> None:
    found = tried(tmp_path, "clock_jumps.py", "--only", "ingest,train ease")
    assert (found["jumps"], found["faults"], found["swept while written"]) == (12, [], [])


def test_a_server_under_every_kind_of_request_and_many_connections(tmp_path: Path) -> None:
    words = ("--minutes", "0.2", "--connections", "700", "--browsers", "0", "--sessions", "0", "--items", "300")
    found = tried(tmp_path, "soak.py", *words)
    assert found["soak"]["requests"] > 0
    assert found["soak"]["server errors"] == 0
    assert {"503"} <= set(found["connections"]["answers"]) <= {"200", "503"}  # while all are open, all may be refused
    assert sum(found["connections"]["answers"].values()) == 700


@pytest.mark.browser
def test_several_browsers_at_once(tmp_path: Path) -> None:
    words = ("--minutes", "0", "--connections", "0", "--sessions", "0", "--browsers", "3", "--browsing", "0.3")
    found = tried(tmp_path, "soak.py", *words)["browsers"]
    assert found["browsers"] == 3
    assert all(each["pages"] >= 2 and each["errors"] == 0 for each in found["each"])
    assert found["pages"] >= 6
    assert (found["errors"], found["traces in the log"]) == ([], 0)


def test_several_sessions_at_once(tmp_path: Path) -> None:
    words = ("--minutes", "0", "--connections", "0", "--browsers", "0", "--sessions", "3")
    found = tried(tmp_path, "soak.py", *words)["sessions"]
    assert (found["pages"], found["errors"], found["traces in the log"]) == (90, [], 0)


def test_what_is_not_so_is_not_said(tmp_path: Path) -> None:
    """One method against itself through the product's own doors, and the parts that its sentences stand on."""
    found = tried(tmp_path, "claims.py", "--pairs", "60", "--experiments", "20000")
    early, out = found["stopped early"], found["trained out"]
    assert early["told apart"] > 20  # the difference is there to be misread
    assert early["without the guard"] == 0
    assert out["called better or worse"] <= stats.binom.ppf(0.999, 60, 0.05)
    for of in ("difference covered", "value covered"):
        assert all(0.93 <= each["users and seeds"] <= 0.97 for each in found[of].values())
        assert found[of]["0.03"]["users alone"] < 0.8  # users alone promise far more than they hold
    limit = stats.binom.ppf(0.999, 20_000, 0.05) / 20_000
    assert all(each["users and seeds"] <= limit for each in found["equal methods told apart"].values())
    assert found["equal methods told apart"]["0.03"]["users alone"] > 0.2
    assert found["bound missed"] <= limit
