"""Artifacts on a shared folder or an object store: any URL fsspec opens (``s3://``, ``gs://``, ``file://`` ...).

Work is always done in a local :class:`~llmesr.store.Store`; a remote only keeps complete copies. Under
``<url>/<kind>/<id>/`` lie the files, then ``files.json`` with the digest of each, then, last of all, the manifest:
what has no manifest is half-written, and not there for anybody.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec

from llmesr.deadlines import TooSlow, patience, while_moving, within
from llmesr.errors import UserError, is_full, masked
from llmesr.progress import Progress, silent
from llmesr.store import (
    KINDS,
    MANIFEST,
    Manifest,
    Store,
    check_identity,
    check_size,
    check_whole,
    file_digest,
    parse_manifest,
    referred,
)

FILES = "files.json"
T = TypeVar("T")


class Remote:
    """The artifacts under ``url``. UserError when it cannot be opened."""

    def __init__(self, url: str) -> None:
        self.url = masked(url.rstrip("/"))  # as it is shown
        try:
            self.fs, root = fsspec.url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise UserError(
                f"{url} cannot be opened: {error} (s3:// needs `pip install s3fs`, gs:// `pip install gcsfs`)."
            ) from error
        self.root = root.rstrip("/")

    def list(self, kind: str) -> builtins.list[Manifest]:
        """Complete artifacts of ``kind``, newest first."""
        with self._reached():
            found = [self._manifest(kind, id) for id in self._ids(kind)]
        return sorted((m for m in found if m is not None), key=lambda m: m.created, reverse=True)

    def find(self, kind: str, ref: str) -> Manifest:
        """Resolve an id, a name (the newest of it) or a unique start of an id. UserError when there is none, or nothing
        is named."""
        if not ref.strip():
            raise UserError(f"{ref!r} names none of the {kind} at {self.url}.")
        named = referred(self.list(kind), ref)
        if len(named) != 1:
            fits = f"several {kind}: {', '.join(m.id for m in named)}" if named else f"no {kind} at {self.url}"
            raise UserError(f"{ref!r} fits {fits}. `llmesr list --at {self.url}` shows what is there.")
        return named[0]

    def push(self, store: Store, kind: str, id: str, progress: Progress = silent) -> builtins.list[str]:
        """Copy an artifact and those it was made from; ``kind/id`` of what was not there already.

        UserError when it, or one of its parents, is not finished or not whole, or when the remote cannot be written.
        """
        with self._reached():
            return self._push(store, kind, id, progress)

    def pull(self, store: Store, kind: str, id: str, progress: Progress = silent) -> builtins.list[str]:
        """Bring an artifact and those it was made from; ``kind/id`` of what was not here already.

        UserError when it is not there, or when what arrives does not match its digests: nothing of it is kept then.
        """
        with self._reached():
            return self._pull(store, kind, id, progress)

    def _push(self, store: Store, kind: str, id: str, progress: Progress) -> builtins.list[str]:
        manifest = store.manifest(kind, id)
        sent: builtins.list[str] = []
        for parent in manifest.parents:
            sent += self._push(store, parent.kind, parent.id, progress)
        folder = store.path(kind, id)
        files = check_whole(store, kind, id, "pushed")
        if self._read(kind, id, FILES) == files and self._manifest(kind, id) is not None:
            return sent
        there = self._path(kind, id)
        if self._soon(lambda: self.fs.exists(f"{there}/{MANIFEST}")):
            # nobody may take half of the old and half of the new
            self._soon(lambda: self.fs.rm_file(f"{there}/{MANIFEST}"))
        for done, name in enumerate(sorted(files, key=lambda n: n == MANIFEST)):
            if name == MANIFEST:
                self._write(f"{there}/{FILES}", json.dumps(files).encode())
            self._send(folder / name, f"{there}/{name}")
            progress(f"sending {kind}/{id}", done + 1, len(files))
        return [*sent, f"{kind}/{id}"]

    def _pull(
        self, store: Store, kind: str, id: str, progress: Progress, below: tuple[str, ...] = ()
    ) -> builtins.list[str]:
        there = self._path(kind, id)
        if store.exists(kind, id):
            return []
        if there in below:
            raise UserError(f"{kind}/{id} names itself among what it was made from; it is not taken.")
        manifest = self._manifest(kind, id)
        if manifest is None:
            raise UserError(
                f"There is no complete {kind}/{id} at {self.url}. `llmesr list --at {self.url}` shows more."
            )
        brought: builtins.list[str] = []
        for parent in manifest.parents:
            brought += self._pull(store, parent.kind, parent.id, progress, (*below, there))
        check_identity(store, manifest, kind, id)
        with store.scratch(kind) as scratch:
            files = self._read(kind, id, FILES) or {}
            found = self._soon(lambda: self.fs.find(there, detail=True))
            octets = sum(int(entry.get("size") or 0) for entry in found.values())
            check_size(there, len(files), octets, shutil.disk_usage(scratch).free)
            for done, name in enumerate([*files]):
                self._fetch(f"{there}/{name}", _inside(scratch, name), files[name])
                progress(f"fetching {kind}/{id}", done + 1, len(files))
            if not set(manifest.files) <= set(files) or MANIFEST not in files:
                raise UserError(f"{kind}/{id} at {self.url} is damaged: {FILES} does not name all of its files.")
            if json.loads((scratch / MANIFEST).read_bytes()) != self._read(kind, id, MANIFEST):
                raise UserError(f"{kind}/{id} at {self.url} was changed while it was fetched. Pull it again.")
            with contextlib.suppress(FileExistsError):  # another process has brought it meanwhile
                store.place(scratch, kind, id, replace=False)
        return [*brought, f"{kind}/{id}"]

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if is_full(error):
                raise  # this machine's disk, or a folder's: said as everywhere
            raise UserError(f"{self.url} cannot be read or written: {error}.") from error
        except TooSlow as error:
            raise UserError(f"{self.url} is given up: {error}. Try it again; what is complete is kept.") from error

    def _soon(self, do: Callable[[], T], octets: int = 0) -> T:
        """What ``do`` returns, which moves so many octets. TooSlow when that takes longer than :func:`patience`."""
        return within(patience(octets), do)

    def _send(self, here: Path, there: str) -> None:
        self._soon(lambda: self.fs.makedirs(there.rpartition("/")[0], exist_ok=True))
        self._soon(lambda: self.fs.put_file(str(here), there), here.stat().st_size)

    def _fetch(self, there: str, here: Path, digest: str) -> None:
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            while_moving(
                lambda: self.fs.get_file(there, str(here)), lambda: here.stat().st_size if here.exists() else 0
            )
        except FileNotFoundError as error:
            raise UserError(f"{there} is missing at {self.url}. Push that artifact again.") from error
        if file_digest(here) != digest:
            raise UserError(f"{there} at {self.url} is damaged: it does not match its checksum. Push it again.")
        with open(here, "rb") as handle:
            os.fsync(handle.fileno())

    def _ids(self, kind: str) -> builtins.list[str]:
        self.fs.invalidate_cache()  # others write here too
        try:
            entries = self._soon(lambda: self.fs.ls(f"{self.root}/{kind}", detail=False))
        except FileNotFoundError:
            return []
        return [PurePosixPath(entry.rstrip("/")).name for entry in entries]

    def _path(self, kind: str, id: str) -> str:
        if kind not in KINDS:
            raise UserError(f"{kind!r} is not a kind of artifact; one of {', '.join(KINDS)}.")
        return f"{self.root}/{kind}/{id}"

    def _manifest(self, kind: str, id: str) -> Manifest | None:
        """None where there is none yet, or only a part of one."""
        found = self._read(kind, id, MANIFEST)
        try:
            return parse_manifest(json.dumps(found).encode()) if found is not None else None
        except ValueError:
            return None

    def _read(self, kind: str, id: str, name: str) -> dict[str, Any] | None:
        try:
            path = f"{self._path(kind, id)}/{name}"
            found = json.loads(self._soon(lambda: self.fs.cat_file(path)))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, path: str, content: bytes) -> None:
        self._soon(lambda: self.fs.makedirs(path.rpartition("/")[0], exist_ok=True))
        self._soon(lambda: self.fs.pipe_file(path, content), len(content))


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"The remote artifact names a file {name!r} outside of itself; it is not taken.")
    return folder / path
