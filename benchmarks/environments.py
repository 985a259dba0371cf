"""Environments for what a benchmark compares with and the project does not need: made once, kept for the next time."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def environment(folder: Path, *requirements: str, with_ours: bool = False) -> Path:
    """The Python of an environment in ``folder`` with ``requirements`` in it, installed one after the other.

    ``with_ours`` lets it import what is installed beside this script as well: for what only adds to that.
    """
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists() and ready.read_text() == "\n".join(requirements):
        return python
    print(f"Installing {', '.join(requirements)} into {folder} ...", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True)
    if with_ours:
        place = next(folder.glob("lib/python*/site-packages"))
        (place / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for what in requirements:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", what], check=True)
    ready.write_text("\n".join(requirements))
    return python
