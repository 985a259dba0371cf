"""Runs docs/example.ipynb from top to bottom and keeps what it shows: `python docs/notebook.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

PAGE = Path(__file__).with_name("example.ipynb")


def executed(page: Path = PAGE) -> Any:
    """The notebook with its outputs. CellExecutionError where a cell fails."""
    notebook = nbformat.read(page, as_version=4)  # type: ignore[no-untyped-call]
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell["metadata"] = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell["outputs"] = []
    os.environ["PYTHONWARNINGS"] = "ignore"  # of libraries: they would stand in the notebook
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell["metadata"] = {}  # when each cell ran says nothing
        if cell.cell_type == "code":
            cell["outputs"] = [o for o in cell["outputs"] if o.get("output_type") != "stream"]
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):  # what stands beside it holds numbers of this one run
                del output["data"]["text/plain"]
    notebook["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), PAGE)  # type: ignore[no-untyped-call]
