"""The example notebook runs from top to bottom and shows what it promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_runs_and_shows_cards_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    monkeypatch.setenv("LLMESR_ARTIFACTS", str(tmp_path))
    spec = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    cells = [c for c in notebook.executed().cells if c.cell_type == "code"]
    shown = [kind for cell in cells for output in cell.outputs for kind in output.get("data", {})]
    assert shown.count("application/vnd.plotly.v1+json") == 3
    pages = "".join(o.data.get("text/html", "") for c in cells for o in c.outputs if "data" in o)
    assert "interactions" in pages
    assert "text-ease and llm-esr/sasrec against id/sasrec" in pages
