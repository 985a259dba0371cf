"""What fails outside the program ends in a sentence and exit code 2, never in a traceback."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset

import llmesr
from llmesr.cli.main import main
from llmesr.data.synthetic import frames
from llmesr.errors import machine_failure
from llmesr.store import Store

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command as typed: its exit code and what it says on standard error."""
    monkeypatch.setenv("COLUMNS", "2000")

    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["llmesr", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert isinstance(ended.value.code, int)
        return ended.value.code, said

    return typed


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    interactions, items = frames(40, 30, seed=0)
    interactions.to_csv(tmp_path / "interactions.csv", index=False)
    items.to_csv(tmp_path / "items.csv", index=False)
    return [str(tmp_path / "interactions.csv"), str(tmp_path / "items.csv")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "The disk is full. Make room"),
        (sqlite3.OperationalError("database or disk is full"), "The disk is full"),
        (MemoryError(), "not enough memory"),
        (PermissionError(errno.EACCES, "denied", "/x/y"), "/x/y cannot be used: this user may not use it"),
        (OSError(errno.EROFS, "read-only", "/x"), "a disk that is read-only"),
        (OSError(errno.ENAMETOOLONG, "long", "/x"), "Choose a shorter one"),
        (OSError(errno.EADDRINUSE, "taken"), "taken: the port is taken"),
        (ConnectionResetError("gone"), "gone."),
    ],
)
def test_failures_of_the_machine_are_sentences(error: Exception, said: str) -> None:
    wrapped = RuntimeError("a library says it in its own way")
    wrapped.__cause__ = error
    assert said in (machine_failure(error) or "")
    if said != "gone.":
        assert said in (machine_failure(wrapped) or "")


def test_a_fault_of_the_program_is_no_failure_of_the_machine() -> None:
    assert machine_failure(KeyError("x")) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "nowhere.csv"], "nowhere.csv"),
        (["profile", "x" * 5000], "xxx"),
        (["delete", "runs", "x" * 5000, "--yes"], "xxx"),
        (["train", "shop", "--set", "epochs=[1"], "'epochs' = '[1' is not valid"),
        (["train", "shop", "--set", "epochs=" + "[1," * 5000], "is not valid"),
        (["train", "shop", "--set", "epochs=\x01"], "is not valid"),
        (["train", "shop", "--method", "id", "--set", "seed=-1"], "'seed' = -1 is not valid"),
        (["train", "shop", "--method", "id", "--set", f"seed={10**40}"], "is not valid"),
        (["train", "shop", "--method", "ease", "--set", "epochs=3"], "Method 'ease' does not read epochs; leave"),
        (["train", "shop", "--method", "id", "--set", "fusion=none"], "Method 'id' with 'sasrec' does not read fusion"),
        (["train", "shop", "--method", "id", "--set", "negatives=9"], "'negatives' does nothing here: it needs loss="),
        (["export", "datasets", "shop", "/nowhere/x.tar.gz"], "/nowhere/x.tar.gz cannot be used: it is not there"),
        (["--artifacts", "x" * 300, "fetch", "ml-100k"], "name is too long"),
        (["--artifacts", "/dev/null/x", "demo", "--synthetic"], "a part of the path is a file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(words: list[str], said: str, run: Run, store: Store) -> None:
    make_dataset(store)
    code, told = run(*words)
    assert code == 2
    assert said in told
    assert told.splitlines()[-1].startswith("Error: ")
    assert len(told) < 6000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "No such command 'trian'"),
        (["train"], "Missing argument"),
        (["list", "--nothing"], "No such option"),
    ],
)
def test_a_command_mistyped_is_said(words: list[str], said: str, run: Run) -> None:
    code, told = run(*words)
    assert (code, said in told) == (2, True)


def test_an_interrupt_is_no_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "list", interrupted)
    assert run("list")[0] == 130


def test_a_file_name_of_no_encoding_is_named(run: Run, files: list[str], tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9 \xff.csv")
    shutil.copy(files[0], odd)
    code, told = run("ingest", odd, "--name", "odd")
    assert code == 2
    assert "caf? ?.csv' is not valid UTF-8 text. Rename the file." in told


class FullDisk:
    """Files may be written until ``left`` writes have been made; then the disk is full."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.fsync, self.open = os.fsync, builtins.open

    def sync(self, handle: Any) -> None:
        self.spend()
        self.fsync(handle)

    def opened(self, file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if set(mode) & set("wax+") and not str(file).startswith("/dev/"):
            self.spend()
        return self.open(file, mode, *more, **named)

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_at_any_write_leaves_a_sentence_and_nothing_half_done(
    run: Run, files: list[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for left in range(60):
        disk = FullDisk(left)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", disk.sync)
            patch.setattr(builtins, "open", disk.opened)
            code, told = run("ingest", *files, "--name", "shop")
        outcomes.append(code)
        if code == 0:
            break
        assert "The disk is full. Make room" in told
        assert store.list("datasets") == []
        assert [p for p in store.root.rglob("*") if p.is_file() and p.name != ".lock"] == []
    assert outcomes[:-1] == [2] * (len(outcomes) - 1)
    assert outcomes[-1] == 0
    assert len(outcomes) > 3


@pytest.fixture
def read_only(store: Store) -> Iterator[Path]:
    """A root with a dataset in it that may only be read."""
    make_dataset(store)
    place = Path(tempfile.mkdtemp(prefix="llmesr-read-only-"))
    shutil.copytree(store.root, place / "root")
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield place / "root"
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(place)


# The administrator may write anywhere; without these rights they may no more than anybody.
MODEST = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="the administrator may write anywhere"
)
def test_what_may_only_be_read_is_shown(read_only: Path) -> None:
    package = str(Path(llmesr.__file__).parents[1])
    environment = {**os.environ, "LLMESR_ARTIFACTS": str(read_only), "PYTHONPATH": package, "COLUMNS": "2000"}

    def typed(code: str) -> subprocess.CompletedProcess[str]:
        command = [*(MODEST if os.geteuid() == 0 else []), sys.executable, "-c", code]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)

    listed = typed("import sys; sys.argv = ['llmesr', 'list', 'datasets']; from llmesr.cli.main import main; main()")
    assert (listed.returncode, "shop" in listed.stdout) == (0, True), listed.stderr
    # The last step of `app` is to become Streamlit; how it would be called is enough here.
    app = typed(
        "import os, sys; os.execv = lambda program, words: print('becomes', *words); "
        "sys.argv = ['llmesr', 'app', '--demo']; from llmesr.cli.main import main; main()"
    )
    assert app.returncode == 0, app.stderr
    assert "the app shows what is there" in app.stderr
    assert "becomes" in app.stdout
    made = typed("import sys; sys.argv = ['llmesr', 'embed', 'shop']; from llmesr.cli.main import main; main()")
    assert made.returncode == 2
    assert "cannot be used" in made.stderr or "cannot be opened" in made.stderr
    assert "Traceback" not in made.stderr
