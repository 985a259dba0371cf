"""Files that a visitor sent, on disk under ``<root>/uploads/<token>/`` until they are read or grow old."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from llmesr.errors import UserError
from llmesr.store import Store, read_json, write_json

CHUNK = 1 << 20
KEEP_DAYS = 7
ORIGIN = ".origin.json"
SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data", ".item", ".inter", ".user", ".json", ".jsonl", ".parquet", ".gz")


class Uploads:
    """The uploads of one artifact root."""

    def __init__(self, store: Store) -> None:
        self.folder = store.work_folder("uploads")

    def receive(
        self, files: Iterable[tuple[str, IO[bytes]]], *, limit: int, origin: Mapping[str, Any] | None = None
    ) -> str:
        """Write files to disk in chunks; the token under which :meth:`files` finds them.

        ``origin``: where all the rows are, when the files hold only the first of them (see :meth:`origin`).
        UserError on a name with folders in it, on two files of one name, and beyond ``limit`` octets in all.
        Nothing stays behind when a file is refused.
        """
        token = secrets.token_hex(8)
        folder = self.folder / token
        folder.mkdir(parents=True)
        left = limit
        try:
            for name, stream in files:
                path = folder / plain_name(name)
                if path.exists():
                    raise UserError(f"Two of the files are called {path.name!r}; rename one.")
                left = _copy(stream, path, left, limit)
            if origin is not None:
                write_json(folder / ORIGIN, dict(origin))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return token

    def files(self, token: str) -> list[Path]:
        """The files of an upload. UserError when there is no such upload any more."""
        folder = self.folder / token
        if not re.fullmatch(r"[0-9a-f]{16}", token) or not folder.is_dir():
            raise UserError(f"The upload is no longer here (files are kept for {KEEP_DAYS} days); send them again.")
        return sorted(p for p in folder.iterdir() if p.is_file() and p.name != ORIGIN)

    def origin(self, token: str) -> dict[str, Any] | None:
        """Where all rows of files are that hold only the first; None for files that are whole."""
        self.files(token)
        path = self.folder / token / ORIGIN
        if not path.is_file():
            return None
        found: dict[str, Any] = read_json(path, "The upload", "Read the first rows again.")
        return found

    def discard(self, token: str) -> None:
        """Forget an upload."""
        if self.files(token) is not None:
            shutil.rmtree(self.folder / token)

    def old(self, *, in_use: Collection[str] = (), now: float | None = None) -> list[Path]:
        """Folders of uploads older than :data:`KEEP_DAYS` days, but for those with a file whose path is ``in_use``."""
        oldest = (now or time.time()) - KEEP_DAYS * 86_400
        folders = [f for f in self.folder.iterdir() if f.is_dir()] if self.folder.is_dir() else []
        read = {Path(path).parent for path in in_use}
        return sorted(f for f in folders if f.stat().st_mtime < oldest and f not in read)


def plain_name(name: str) -> str:
    """A file name that stays in its folder. UserError when it names folders, hides, or has a strange ending."""
    if name in ("", ".", "..") or name.startswith(".") or len(name) > 200 or re.search(r"[/\\\x00-\x1f\x7f]", name):
        raise UserError(f"The file name {name[:60]!r} is not allowed: a plain name without folders, please.")
    if not name.lower().endswith(SUFFIXES):
        raise UserError(
            f"{name[:60]!r} is not a kind of file that can be read here: CSV, TSV, JSONL or Parquet, please."
        )
    return name


def server_path(text: str, roots: Iterable[Path]) -> Path:
    """A file on the server, given by its path. UserError unless it is a file under one of ``roots``."""
    path = Path(text.strip()).expanduser().resolve()
    allowed = [r.resolve() for r in roots]
    plain_name(path.name)
    if not any(
        path.is_relative_to(r) and not any(p.startswith(".") for p in path.relative_to(r).parts) for r in allowed
    ):
        places = ", ".join(map(str, allowed))
        raise UserError(f"Files may be read from {places} only (LLMESR_DATA on the server names the places).")
    if not path.is_file():
        raise UserError(f"There is no file {path} on the server.")
    return path


def _copy(stream: IO[bytes], path: Path, left: int, limit: int) -> int:
    with open(path, "xb") as out:
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise UserError(
                    f"The files are larger than {limit // 1_000_000} MB in all; give large ones by their path."
                )
            out.write(chunk)
    return left
