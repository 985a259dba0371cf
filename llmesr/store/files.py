"""Files written in one step and read behind one boundary."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmesr.errors import UserError


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: Path, what: str, remedy: str) -> Any:
    """The value in a JSON file. UserError naming ``what`` is damaged and the ``remedy``, when it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what} is damaged: {path.name} cannot be read ({error}). {remedy}") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: temporary file, fsync, rename."""
    write_bytes(path, (json.dumps(value, indent=2, default=str) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path`` to write to; it becomes ``path`` in one step when the block ends well."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with blamed_on(path, temporary):
            yield temporary
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def delivered(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, for a file outside the store: an export, a report.

    It lies in somebody's folder, where nothing sweeps: there is one name for each ``path``, so that the same command
    given again takes up what a killed one left. UserError while another process writes to it.
    """
    part = path.with_name(f".{path.name}.part")
    with blamed_on(path, part), open(part, "ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = part.exists() and os.path.samestat(os.fstat(held.fileno()), part.stat())
        except BlockingIOError:
            ours = False
        if not ours:  # another holds it, or has just put it in its place
            raise UserError(f"Another process is writing {path}. Wait until that ends, or choose another name.")
        held.truncate(0)
        try:
            yield part
            with open(part, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def deliver(path: Path, content: bytes) -> None:
    """Write a file outside the store in one step."""
    with delivered(path) as part:
        part.write_bytes(content)


@contextlib.contextmanager
def blamed_on(path: Path, hidden: Path) -> Iterator[None]:
    """An OSError about ``hidden`` names ``path`` instead, which a person knows."""
    try:
        yield
    except OSError as error:
        if error.filename and Path(os.fsdecode(error.filename)).name == hidden.name:
            error.filename = str(path)
        raise


def share_file(source: Path, target: Path) -> None:
    """``source`` under a second name, without a copy where the disk can; files of artifacts never change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync_files(folder: Path) -> None:
    """Flush every file under ``folder`` to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())


def belonging(folder: Path, *, without: tuple[str, ...] = ()) -> list[Path]:
    """The files of an artifact, sorted: nothing hidden or in a hidden folder, nothing under those ``without``."""
    files = ((p, p.relative_to(folder).parts) for p in sorted(folder.rglob("*")) if p.is_file())
    return [p for p, parts in files if parts[0] not in without and not any(part.startswith(".") for part in parts)]
