"""The walls of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import llmesr

ROOT = Path(llmesr.__file__).parent
BASE = {"ids", "errors", "processes", "progress", "store", "config"}
MAY: dict[str, set[str]] = {
    "data": set(),
    "text": {"data"},
    "semantic": {"data", "text", "retrieval", "runs", "objectives"},
    "retrieval": {"data", "semantic"},
    "linear": {"data"},
    "encoders": set(),
    "models": {"encoders", "data"},
    "objectives": {"models"},
    "methods": {"encoders", "models", "objectives"},
    "evaluation": {"data", "runs"},
    "runs": set(),
    "training": {"data", "methods", "models", "objectives", "evaluation", "semantic", "retrieval", "runs", "text"},
    "scoring": {"data", "evaluation", "models", "retrieval", "runs", "semantic", "training"},
    "serving": {"data", "retrieval", "runs", "scoring", "training"},
    "maps": {"data", "retrieval", "runs", "semantic", "training", "models"},
    "jobs": {"remote", "runs"},
    "views": {"data", "evaluation", "jobs", "maps", "retrieval", "runs", "scoring", "semantic", "text", "training"},
    "api": {"data", "runs", "scoring", "semantic", "training"},
}
ONLY: dict[str, set[str]] = {
    "streamlit": {"views", "pages", "app"},
    "faiss": {"retrieval/index"},
    "optuna": {"training/search", "training/space"},
    "transformers": {"semantic"},
    "peft": {"semantic"},
    "typer": {"cli"},
    "fastapi": {"serving"},
    "ray": {"jobs/ray_engine"},
    "fsspec": {"remote"},
}


def imports(path: Path) -> set[str]:
    """Full names of the modules a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_imports_go_one_way() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        stage = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if stage not in MAY:
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("llmesr.")}
        for other in used - BASE - MAY[stage] - {stage}:
            wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert wrong == []


def test_each_heavy_library_lives_in_one_place() -> None:
    wrong = []
    files = [*ROOT.rglob("*.py"), *(ROOT.parent / "pages").glob("*.py"), ROOT.parent / "app.py"]
    for path in files:
        place = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.relative_to(ROOT.parent))
        for library in {name.split(".")[0] for name in imports(path)} & set(ONLY):
            if not any(place.startswith(allowed) for allowed in ONLY[library]):
                wrong.append(f"{place} imports {library}")
    assert wrong == []


def test_nothing_reads_or_writes_pickles_but_the_trusted_converter() -> None:
    wrong = [p.name for p in ROOT.rglob("*.py") if {"pickle", "joblib", "cloudpickle"} & imports(p)]
    assert set(wrong) <= {"convert.py"}


def test_importing_the_package_is_light() -> None:
    import subprocess
    import sys

    code = "import sys, llmesr.cli.main; print([m for m in ('torch', 'transformers', 'streamlit') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
