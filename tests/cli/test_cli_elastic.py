"""A training that torchrun starts again goes on where it broke off; without that, a name is used once."""

from __future__ import annotations

from typing import Any

import pytest

from llmesr.cli.main import app
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.training import loop

SETTINGS = [w for s in ("epochs=3", "embedding_size=8", "layers=1", "patience=9") for w in ("--set", s)]


@pytest.fixture
def words(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(store.root))
    return ["train", tiny.id, "--method", "id", "--run-id", "named", "--device", "cpu", *SETTINGS]


def broken_off(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, which fails when its first epoch is done."""
    after_epoch = loop.Loop._after_epoch

    def lost(self: loop.Loop, *args: Any) -> None:
        after_epoch(self, *args)
        raise OSError("the peer is gone")

    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "_after_epoch", lost)
        with pytest.raises(OSError, match="the peer is gone"):
            app(words, standalone_mode=False)


def test_torchrun_gives_the_command_again(words: list[str], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    broken_off(words, monkeypatch)
    with pytest.raises(UserError, match="with another epochs; give another --run-id"):
        app([*words, "--set", "epochs=4"], standalone_mode=False)
    assert Run(store, "named").status().state != "SUCCEEDED"
    assert app(words, standalone_mode=False) == 0
    assert Run(store, "named").events()["epoch"].tolist() == [1, 2, 3]


def test_anybody_else_is_told_that_the_name_is_taken(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off(words, monkeypatch)
    with pytest.raises(UserError, match="named"):
        app(words, standalone_mode=False)
