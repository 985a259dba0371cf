"""The walls of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import llmesr

ROOT = Path(llmesr.__file__).parent
BASE = {"cards", "deadlines", "ids", "errors", "processes", "progress", "prose", "store", "config", "visitors"}
MAY: dict[str, set[str]] = {
    "data": set(),
    "text": {"data"},
    "semantic": {"data", "text", "retrieval", "runs", "objectives"},
    "retrieval": {"data", "semantic"},
    "linear": {"data"},
    "encoders": set(),
    "models": {"encoders", "data"},
    "objectives": {"data", "models"},
    "methods": {"encoders", "models", "objectives"},
    "evaluation": {"data", "runs"},
    "runs": set(),
    "findings": {"runs"},
    "votes": {"runs"},
    "training": {
        "data",
        "linear",
        "methods",
        "models",
        "objectives",
        "evaluation",
        "semantic",
        "retrieval",
        "runs",
        "text",
    },
    "scoring": {"data", "evaluation", "linear", "models", "retrieval", "runs", "semantic", "text", "training"},
    "lab": {
        "data",
        "encoders",
        "evaluation",
        "linear",
        "maps",
        "models",
        "retrieval",
        "runs",
        "scoring",
        "semantic",
        "text",
        "training",
    },
    "contest": {"data", "evaluation", "linear", "runs", "scoring", "semantic", "text", "training"},
    "studies": {"data", "evaluation", "linear", "retrieval", "runs", "scoring", "semantic", "training"},
    "serving": {"data", "retrieval", "runs", "scoring", "training"},
    "maps": {"data", "linear", "retrieval", "runs", "semantic", "training", "models"},
    "jobs": {"remote", "runs"},
    "remote": set(),
    "repair": {"data", "jobs", "maps", "remote", "retrieval", "runs", "scoring", "semantic"},
    "store": set(),
    "config": set(),
    "charts": {"data", "evaluation", "runs", "views"},
    "exports": {"data", "findings", "runs", "semantic", "views"},
    "views": {
        "contest",
        "data",
        "evaluation",
        "findings",
        "jobs",
        "lab",
        "maps",
        "retrieval",
        "runs",
        "scoring",
        "semantic",
        "text",
        "training",
        "votes",
    },
    "cli": {
        *("data", "semantic", "retrieval", "evaluation", "training", "runs", "scoring", "maps", "serving", "jobs"),
        *("remote", "api", "contest", "exports", "findings", "lab", "repair", "studies"),
    },
    "api": {
        "contest",
        "data",
        "evaluation",
        "exports",
        "findings",
        "lab",
        "runs",
        "scoring",
        "semantic",
        "studies",
        "training",
    },
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
    "implicit": {"linear/factors"},
    "mlflow": {"exports/tracking"},
    "fsspec": {"remote", "data/places/address"},
    "adbc_driver_postgresql": {"data/places/database"},
    "deltalake": {"data/places/tables"},
    "pyiceberg": {"data/places/tables"},
    "adbc_driver_sqlite": {"data/places/database"},
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


VIEWS = ROOT / "views"
ROOMS = {path.name for path in VIEWS.iterdir() if path.is_dir()} - {"shared", "cache", "__pycache__"}
READS: dict[str, set[str]] = {"compare": {"story"}}
"""Rooms of views never import each other, but the report of a comparison tells the story too."""


def views_of(path: Path) -> set[str]:
    """The parts of ``views`` a file imports: rooms, ``shared``, ``cache``."""
    return {name.split(".")[2] for name in imports(path) if name.startswith("llmesr.views.")}


def test_rooms_of_the_app_have_walls() -> None:
    may = {room: {"shared", "cache", room} | READS.get(room, set()) for room in ROOMS}
    may |= {"shared": {"shared", "cache"}, "cache": {"cache"}}
    wrong = [
        f"{path.relative_to(VIEWS)} imports {other}"
        for path in VIEWS.rglob("*.py")
        if (part := path.relative_to(VIEWS).parts[0]) in may
        for other in views_of(path) - may[part]
    ]
    assert wrong == []


def test_charts_and_marks_draw_without_streamlit() -> None:
    """Nor do they read a cache: a chart is made of frames alone, for pages and reports alike."""
    drawing = [
        *VIEWS.rglob("*charts.py"),
        *(VIEWS / "shared" / f"{n}.py" for n in ("marks", "theme", "words", "report")),
    ]
    wrong = [
        str(path.relative_to(VIEWS))
        for path in drawing
        if "streamlit" in {name.split(".")[0] for name in imports(path)} or "cache" in views_of(path)
    ]
    assert wrong == []


def test_only_the_decorator_of_the_cache_asks_streamlit_to_keep_anything() -> None:
    asking = [str(p.relative_to(VIEWS)) for p in VIEWS.rglob("*.py") if "st.cache_" in p.read_text(encoding="utf-8")]
    assert asking == ["cache/kept.py"]


def modules_used(path: Path) -> set[str]:
    """The modules of the package a file imports, as dotted names; ``from a import b`` may mean the module ``a.b``."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return used & set(MODULES)


MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Each way around: modules that import each other, directly or through others (Tarjan's components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        path.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
            if other in path:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            component = path[path.index(node) :]
            del path[path.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in number:
            visit(node)
    return found


def test_no_two_files_import_each_other() -> None:
    graph = {name: modules_used(path) - {name} for name, path in MODULES.items()}
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_every_table_of_the_app_is_freed_of_formulas() -> None:
    """The tools of ``st.dataframe`` download and copy what it was given: only ``exhibits.table`` may call it."""
    calling = [str(p.relative_to(VIEWS)) for p in VIEWS.rglob("*.py") if "st.dataframe(" in p.read_text("utf-8")]
    assert calling == ["shared/exhibits.py"]


def test_no_two_files_of_tests_have_one_name() -> None:
    """Their folders are no packages, so a second file of a name stops the whole suite; run by itself it works."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in set(names) if names.count(name) > 1] == []
