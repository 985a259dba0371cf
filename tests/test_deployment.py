"""What is deployed with is true: containers name what is there, and the tested versions are those installed."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement

from llmesr.cli.main import app

REPOSITORY = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
"""Which build is installed depends on where it comes from."""
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def options(words: list[str]) -> dict[str, Any]:
    """The options of a command as the command line reads them; fails on what it does not know."""
    group: Any = typer.main.get_command(app)
    name, *rest = [DEFAULT.sub(r"\1", word) for word in words]
    command = group.commands[name]
    return dict(command.make_context(name, rest).params)


def test_the_image_copies_what_is_there() -> None:
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            for source in line.split()[:-1]:
                assert (REPOSITORY / source).exists(), source
    lets_through = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert copied == lets_through


def test_the_image_runs_without_rights_and_says_how_it_is() -> None:
    assert instructions("USER") == ["10001"]
    [default] = instructions("CMD")
    words = [w.strip(",") for w in shlex.split(default.strip("[]"))]
    chosen = options(words)
    assert chosen["host"] == "0.0.0.0"
    assert chosen["without_sign_in"]
    [health] = instructions("HEALTHCHECK")
    assert f":{chosen['port']}/_stcore/health" in health
    assert str(chosen["port"]) in instructions("EXPOSE")[0].split()
    assert "LLMESR_ARTIFACTS=/artifacts" in instructions("ENV")[-1]


@pytest.mark.parametrize("service", ["app", "api"])
def test_the_services_run_commands_there_are(service: str) -> None:
    said = COMPOSE["services"][service]
    chosen = options(said["command"])
    assert said["ports"] == [f"127.0.0.1:{chosen['port']}:{chosen['port']}"]  # nobody else unless it is said
    assert said["volumes"] == ["artifacts:/artifacts"]
    assert said["read_only"]
    assert "artifacts" in COMPOSE["volumes"]
    if service == "api":
        assert "LLMESR_API_KEY" in said["environment"]
        assert f":{chosen['port']}/health" in said["healthcheck"]["test"][-1]
        assert not chosen["without_key"]


def constraints() -> dict[str, str]:
    pairs = [line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().split()]
    return {_plain(name): version for name, version in pairs}


def hashed() -> dict[str, tuple[str, list[str]]]:
    """Package -> version and hashes."""
    text = (REPOSITORY / "hashes.txt").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines()]
    return {_plain(name): (version, sums) for (name, version), sums in ((w[0].split("=="), w[1:]) for w in lines)}


def needed(roots: list[str]) -> set[str]:
    """What is installed here because of ``roots``, themselves included."""
    found: set[str] = set()
    ahead = [(_plain(Requirement(line).name), Requirement(line).extras) for line in roots]
    while ahead:
        name, extras = ahead.pop()
        if name in found:
            continue
        found.add(name)
        for need in map(Requirement, metadata.requires(name) or []):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                ahead.append((_plain(need.name), need.extras))
    return found


def test_the_tested_versions_are_what_is_asked_for() -> None:
    """`make lock` writes them again after a change of the requirements."""
    locked = constraints()
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (REPOSITORY / file).read_text().splitlines():
            if line and not line.startswith("-r"):
                asked = Requirement(line)
                assert asked.specifier.contains(locked[_plain(asked.name)]), line


def test_what_the_tested_versions_ask_for_is_locked_too() -> None:
    locked = constraints()
    for name in locked:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another build of torch
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert _plain(need.name) in {*locked, "pip"}, f"{name} needs {need}"


def test_the_lock_is_of_what_is_installed() -> None:
    """`make setup` installs the locked versions; what the tests run with is what is locked."""
    installed = {_plain(found.name): found.version.partition("+")[0] for found in metadata.distributions()}
    locked = constraints()
    asked = [line for line in (REPOSITORY / "requirements-dev.txt").read_text().splitlines() if line[:2] != "-r"]
    asked += (REPOSITORY / "requirements.txt").read_text().splitlines()
    here = {name: installed[name] for name in needed(asked) - {"pip"}}
    assert here == {name: locked.get(name) for name in here}


def test_there_is_a_hash_for_everything_but_torch() -> None:
    locked, sums = constraints(), hashed()
    assert {name: version for name, (version, _) in sums.items()} == {name: locked[name] for name in sums}
    assert all(one.startswith("--hash=sha256:") and len(one) == 78 for _, ones in sums.values() for one in ones)
    assert all(ones for _, ones in sums.values())
    asked = needed((REPOSITORY / "requirements.txt").read_text().splitlines())
    assert {name for name in asked - set(sums) if not OF_TORCH.fullmatch(name)} == set()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
