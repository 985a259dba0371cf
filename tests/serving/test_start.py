"""A server starts with what it needs to answer and nothing more, and leaves the collector as it was."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from llmesr.cli.main import app
from llmesr.errors import UserError

ELSEWHERE = (
    "httpx",
    "scipy.sparse.linalg",
    "faiss",
    "sklearn",
    "transformers",
    "optuna",
    "duckdb",
    "plotly",
    "streamlit",
)
"""What other commands import."""


def test_what_only_other_commands_need_is_not_imported() -> None:
    asked = f"import sys, llmesr.cli.main, llmesr.serving.server; print([m for m in {ELSEWHERE} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_the_collector_works_again_when_a_server_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmesr.serving import server

    seen = []
    monkeypatch.setattr(server, "run_server", lambda *_, **__: seen.append(gc.isenabled()))
    app(["serve", "some-run"], standalone_mode=False)
    assert seen == [False]
    assert gc.isenabled()
    with pytest.raises(UserError):
        app(["serve", "some-run", "--set", "no_such_setting=1"], standalone_mode=False)
    assert gc.isenabled()


def test_a_server_collects_while_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmesr.serving import server

    monkeypatch.setattr(gc, "freeze", lambda: None)  # of the tests nothing shall stay
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    gc.disable()
    try:
        server._shorten_pauses()
        assert gc.isenabled()
    finally:
        gc.enable()
