"""What the documents name is there: links, commands, settings, variables; every public name explains itself."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

import llmesr
from llmesr import api

REPOSITORY = Path(__file__).parents[1]
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
SOURCES = [p for folder in ("llmesr", "pages") for p in (REPOSITORY / folder).rglob("*.py")] + [REPOSITORY / "app.py"]


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _reference()
COMMANDS = dict(reference.commands())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def typed(page: Path) -> list[str]:
    """The commands of llmesr that a page shows."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [line for block in code for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)
    found = [re.match(r"(?:\S*bin/)?(llmesr [a-z].*)", line.strip().removeprefix("$ ")) for line in lines]
    shown = [f[1].partition("  #")[0] for f in found if f]
    # What follows -- is a command of its own (`llmesr jobs submit -- train ...`).
    return [f"llmesr {part}" if n else part for line in shown for n, part in enumerate(line.split(" -- "))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_is_one(page: Path) -> None:
    for line in typed(page):
        words = shlex.split(line.replace("...", ""))
        name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in COMMANDS), None)
        if name is None and len(words) == 2 and any(known.startswith(f"{line} ") for known in COMMANDS):
            continue  # a group of commands
        assert name is not None, f"{page.name}: {line}"
        options = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        given = {w.partition("=")[0] for w in words if re.match(r"--[a-z]", w)}
        assert given <= options, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_target_of_make_is_one(page: Path) -> None:
    known = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= known


def test_the_reference_is_current() -> None:
    """`make docs` writes it."""
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()


def test_every_class_of_settings_is_in_the_reference() -> None:
    named = {kind.__name__ for kind, _ in reference.configs()}
    defined = {n for p in SOURCES for n in re.findall(r"^class (\w+)\(Config\)", p.read_text(encoding="utf-8"), re.M)}
    assert defined - named == {"Range", "ByTerm", "RunSettings"}  # parts of others
    for kind, _ in reference.configs():
        assert [n for n, f in kind.model_fields.items() if not f.description] == [], kind


def test_every_environment_variable_is_in_the_reference() -> None:
    read = {name for path in SOURCES for name in re.findall(r"LLMESR_[A-Z_]+", path.read_text(encoding="utf-8"))}
    assert read == {name for name in reference.ENVIRONMENT if name.startswith("LLMESR_")}


def test_what_is_public_explains_itself() -> None:
    public = {name: getattr(llmesr, name) for name in llmesr.__all__}
    public |= {n: f for n, f in vars(api).items() if inspect.isfunction(f) and f.__module__ == api.__name__}
    for name, value in public.items():
        assert inspect.getdoc(value), name
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            own = inspect.isfunction(member) and not attribute.startswith("_")
            assert not own or inspect.getdoc(member), f"{name}.{attribute}"


def test_every_module_says_what_it_is() -> None:
    written = {path: path.read_text(encoding="utf-8").lstrip() for path in SOURCES}
    assert [str(path) for path, text in written.items() if text and not text.startswith(('"""', 'r"""'))] == []
