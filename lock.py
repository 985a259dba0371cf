"""Writes constraints.txt and hashes.txt from what is installed here and was tested. `make lock` runs it.

    python lock.py [--check] [--python python3.12 ...]

``constraints.txt`` holds the versions, for every Python that is supported: each of them is asked (``pip install
--dry-run``) whether these versions can be installed there, and what they need there besides. ``hashes.txt`` holds the
SHA-256 of the files that were found, for ``pip install --require-hashes``: of everything that is needed to run but
torch and what its CUDA build brings, since which build is installed depends on where it comes from. With ``--check``
nothing is written; it fails when the files are not what would be.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
CONSTRAINTS, HASHES = REPOSITORY / "constraints.txt", REPOSITORY / "hashes.txt"
PYTHONS = ("python3.11", "python3.12", "python3.13")
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
Found = dict[str, tuple[str, set[str]]]
"""Package -> its version and the SHA-256 of its files."""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pip(*words: str, python: str = sys.executable) -> str:
    """What pip says, of another interpreter too. Ends the script with pip's words when it fails."""
    command = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip()}")
    return done.stdout


def installed() -> dict[str, str]:
    """The versions here, without the mark of a build (+cpu): which build of torch is installed was not asked."""
    lines = pip("freeze", "--all", "--exclude", "pip", "--exclude-editable").splitlines()
    pairs = [line.partition("==")[::2] for line in lines if "==" in line]
    return {plain(name): version.partition("+")[0] for name, version in pairs}


def resolved(requirements: str, versions: dict[str, str], python: str) -> Found:
    """What an interpreter would install with these versions."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        dry = ("install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--report", "-")
        report = json.loads(pip(*dry, "--constraint", str(held), "--requirement", requirements, python=python))
    found: Found = {}
    for one in report["install"]:
        sums = one["download_info"].get("archive_info", {}).get("hashes", {})
        version = one["metadata"]["version"].partition("+")[0]
        found[plain(one["metadata"]["name"])] = (version, {sums["sha256"]} if "sha256" in sums else set())
    return found


def files(pythons: list[str]) -> dict[Path, str]:
    """The two files as they should be."""
    tested = installed()
    versions: dict[str, str] = {}
    needed: Found = {}
    for python in pythons:
        every = resolved("requirements-dev.txt", tested | versions, python)
        versions |= {name: version for name, (version, _) in every.items()}
        for name, (version, sums) in resolved("requirements.txt", tested | versions, python).items():
            needed.setdefault(name, (version, set()))[1].update(sums)
    hashed = {name: found for name, found in sorted(needed.items()) if not OF_TORCH.fullmatch(name)}
    return {
        CONSTRAINTS: "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())),
        HASHES: "".join(
            f"{name}=={version} \\\n" + " \\\n".join(f"    --hash=sha256:{one}" for one in sorted(sums)) + "\n"
            for name, (version, sums) in hashed.items()
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the files are not current")
    parser.add_argument("--python", action="append", help=f"an interpreter; {', '.join(PYTHONS)} when left out")
    arguments = parser.parse_args()
    wanted = arguments.python or PYTHONS
    if missing := [python for python in wanted if shutil.which(python) is None]:
        raise SystemExit(
            f"{', '.join(missing)} cannot be found; the lock holds for every Python only when all are asked."
        )
    for path, text in files([str(shutil.which(python)) for python in wanted]).items():
        if arguments.check and (not path.is_file() or path.read_text() != text):
            raise SystemExit(f"{path.name} is not current; `make lock` writes it again.")
        if not arguments.check:
            path.write_text(text)
    print(f"{CONSTRAINTS.name} and {HASHES.name} hold for {', '.join(wanted)}.")


if __name__ == "__main__":
    main()
