"""A process killed before any one of its calls to the file system leaves nothing that is stuck or half there."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmesr.config import RunConfig
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Store

CALLS = ((os, "fsync"), (os, "replace"), (pathlib.Path, "rename"), (pathlib.Path, "mkdir"), (pathlib.Path, "chmod"))


def killed_before(number: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a child that is killed before the file system call of that number; whether it was."""
    child = os.fork()
    if child == 0:
        left = number

        def counted(call: Callable[..., object]) -> Callable[..., object]:
            def counting(*args: object, **kwargs: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)

            return counting

        for owner, name in CALLS:
            setattr(owner, name, counted(getattr(owner, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)


def every_kill(work: Callable[[], object], settled: Callable[[], None]) -> int:
    """Kill ``work`` before each of its calls in turn, and look after each; how many there were."""
    number = 0
    while killed_before(number, work):
        settled()
        number += 1
    return number


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was left was left an hour ago."""
    now = time.time
    monkeypatch.setattr("llmesr.store.leftovers.time.time", lambda: now() + 3600)


def hidden(store: Store) -> list[Path]:
    return [path for path in store.root.rglob(".*") if path.is_dir()]


@pytest.mark.usefixtures("old")
def test_creating_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def create() -> Run:
        return Run.create(store, RunConfig(epochs=3), [], name="r", id="r-1", device="cpu")

    def settled() -> None:
        whole = [m.id for m in store.list("runs")]
        assert store.broken("runs") == {}
        store.heal()
        assert hidden(store) == []
        if whole:
            with pytest.raises(UserError, match="resume it"):
                create()
        else:
            create()
        run = Run(store, "r-1")
        assert (run.status().state, run.config.epochs) == ("PENDING", 3)
        store.delete("runs", "r-1")
        assert store.ids("runs") == []

    assert every_kill(create, settled) >= 5


@pytest.mark.usefixtures("old")
def test_replacing_an_artifact_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def write(content: str) -> None:
        with store.draft("maps", "m-1", name="m") as draft:
            (draft.path / "data.txt").write_text(content)

    write("old")

    def settled() -> None:
        assert [m.id for m in store.list("maps")] == ["m-1"]
        (data,) = (p for p in store.files("maps", "m-1") if p.name == "data.txt")
        assert data.read_text() in ("old", "new")
        store.heal()
        assert hidden(store) == []
        write("old")

    assert every_kill(lambda: write("new"), settled) >= 5


@pytest.mark.usefixtures("old")
def test_deleting(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def create() -> None:
        if not store.exists("runs", "r-1"):
            Run.create(store, RunConfig(), [], name="r", id="r-1", device="cpu")

    create()

    def settled() -> None:
        store.list("runs")
        assert store.broken("runs") == {}
        assert hidden(store) == []
        create()

    assert every_kill(lambda: store.delete("runs", "r-1"), settled) >= 1


def test_sealing_a_run_can_be_gone_on_with(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = Run.create(store, RunConfig(), [], name="r", id="r-1", device="cpu")
    run.set_state("RUNNING", "")

    def seal() -> None:
        run.finish(run.status().model_copy(update={"state": "SUCCEEDED"}), {"train": 1.0}, {"best": 0.5})

    def settled() -> None:
        assert run.status().state == "RUNNING"
        assert run.manifest.id == "r-1"
        assert not store.finished("runs", "r-1")

    assert every_kill(seal, settled) >= 3
    assert store.finished("runs", "r-1")
