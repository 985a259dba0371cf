"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

from llmesr.data.synthetic import frames
from llmesr.store import Store

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interactions, items = frames(80, 40, seed=0)
    interactions.to_csv(tmp_path / "interactions.csv", index=False)
    items.to_csv(tmp_path / "items.csv", index=False)
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 1
    assert len(code[0].strip().splitlines()) < 10
    exec(code[0].replace("epochs=30", "epochs=2"), {})
    shown = capsys.readouterr().out
    assert "llm-esr/sasrec" in shown
    assert "Tail Item" in shown
    assert len(store.list("runs")) == 2
