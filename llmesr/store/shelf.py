"""The artifacts under one root, as they are read: where each lies, what it says of itself, what was made from it."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, TypeVar

from llmesr.errors import UserError
from llmesr.store.files import belonging, file_digest
from llmesr.store.leftovers import REPLACED, heal, places, replaced_id
from llmesr.store.manifest import (
    CHECKPOINTS,
    KINDS,
    MANIFEST,
    SCHEMA_VERSION,
    STATUS,
    Manifest,
    Parent,
    noun,
    parse_manifest,
    referred,
)

_T = TypeVar("_T")
WorkFolder = Literal["jobs", "uploads", "downloads", "addresses", "cache", "quarantine"]

LONGEST = 200
"""Characters of an id: a name on every disk, with what stands beside it."""
KEPT = 1024
"""Manifests that are kept as they were read: a page asks for each of some twenty runs a dozen times."""


def _written(path: Path) -> tuple[int, int, int]:
    """Time (ns), size and inode: what changes whenever a file is written. FileNotFoundError while there is none."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(KEPT)
def _as_written(path: Path, written: tuple[int, int, int]) -> Manifest:  # noqa: ARG001 a part of the key
    return parse_manifest(path.read_bytes())


@lru_cache(KEPT)
def _digest(path: Path, written: tuple[int, int, int]) -> str:  # noqa: ARG001 a part of the key
    return file_digest(path)


class Shelf:
    """Everything that is read of an artifact root; :class:`~llmesr.store.root.Store` also writes to it."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("LLMESR_ARTIFACTS") or "artifacts").resolve()

    @classmethod
    def around(cls, folder: Path) -> Self:
        """The store in which the folder of an artifact or of a job lies."""
        return cls(Path(folder).resolve().parent.parent)

    # -- where things are ------------------------------------------------------------------------------------------

    def path(self, kind: str, id: str) -> Path:
        """Where the artifact is or would be; no check that it exists."""
        self._check_kind(kind)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", id) or len(id) > LONGEST:
            raise UserError(
                f"{id[:80]!r} is not an artifact id: at most {LONGEST} letters, digits, '.', '_' and '-' only."
            )
        return self.root / kind / id

    def work_folder(self, name: WorkFolder) -> Path:
        """A folder beside the artifacts, for what is none; it may not exist yet."""
        return self.root / name

    def exists(self, kind: str, id: str) -> bool:
        """Whether there is such an artifact: a folder with a manifest."""
        return any((place / MANIFEST).is_file() for place in places(self.path(kind, id)))

    def ids(self, kind: str) -> builtins.list[str]:
        """The folders under a kind, readable or not, sorted."""
        self._check_kind(kind)
        folder = self.root / kind
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:  # they say what they are as they are listed: some may be away right after
            names = {entry.name for entry in entries if entry.is_dir()}
        away = {replaced_id(name) for name in names if name.startswith(REPLACED)}
        return sorted(away | {name for name in names if not name.startswith(".")})

    def files(self, kind: str, id: str) -> builtins.list[Path]:
        """The files that belong to an artifact, its manifest among them; no checkpoints, nothing hidden."""
        return belonging(self.path(kind, id), without=(CHECKPOINTS,))

    def finished(self, kind: str, id: str) -> bool:
        """Whether an artifact is whole: one that is still made, was stopped or has failed is not."""
        try:
            status = self._read(self.path(kind, id), lambda place: json.loads((place / STATUS).read_bytes()))
            return bool(status["state"] == "SUCCEEDED")
        except FileNotFoundError:
            return self.exists(kind, id)
        except (OSError, ValueError, RecursionError, TypeError, KeyError):  # it does not say that it has ended well
            return False

    # -- reading ---------------------------------------------------------------------------------------------------

    def manifest(self, kind: str, id: str) -> Manifest:
        """Read a manifest. It is shared by whoever asks before it is written again: change it only in
        ``Store.changing``. UserError when it is missing, unreadable or of another schema version."""
        path = self.path(kind, id) / MANIFEST
        try:
            manifest = self._read(path.parent, lambda place: _as_written(place / MANIFEST, _written(place / MANIFEST)))
        except FileNotFoundError:
            if path.parent.is_dir():
                raise UserError(
                    f"The {noun(kind)} {id!r} is incomplete: {path} is missing. `llmesr delete {kind} {id}` removes it."
                ) from None
            raise UserError(
                f"There is no {noun(kind)} {id!r} under {self.root}. `llmesr list` shows what is there."
            ) from None
        except (OSError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
            raise UserError(
                f"The {noun(kind)} {id!r} cannot be read: {path} is damaged "
                f"({str(error).splitlines()[0]}). Delete it or make it again."
            ) from error
        itself = any((p.kind, p.id) == (kind, id) for p in manifest.parents)
        if (manifest.kind, manifest.id) != (kind, id) or itself:
            raise UserError(
                f"The {noun(kind)} {id!r} cannot be read: its manifest is not its own "
                f"(it says {manifest.kind}/{manifest.id}{', made from itself' if itself else ''}). Delete it."
            )
        if manifest.schema_version != SCHEMA_VERSION:
            raise UserError(
                f"The {noun(kind)} {id!r} has schema version {manifest.schema_version}; "
                f"this version of llmesr reads {SCHEMA_VERSION} and older. Install a newer llmesr, or make it again."
            )
        return manifest

    def digest(self, kind: str, id: str) -> str:
        """What changes whenever an artifact does: the digest of its manifest. UserError when it is not there."""
        folder = self.path(kind, id)
        try:
            return self._read(folder, lambda place: _digest(place / MANIFEST, _written(place / MANIFEST)))
        except FileNotFoundError:
            raise UserError(f"There is no {noun(kind)} {id!r} any more. Choose another.") from None

    def stamp(self, kind: str, id: str, name: str = MANIFEST) -> tuple[int, int, int] | None:
        """What changes whenever a file of an artifact is written, cheaper than its digest; None while there is no such
        file."""
        try:
            return self._read(self.path(kind, id), lambda place: _written(place / name))
        except (OSError, UserError):  # it is gone, or what lies there has no id of an artifact
            return None

    def list(self, kind: str) -> builtins.list[Manifest]:
        """Readable artifacts of ``kind``, newest first."""
        return self._scan(kind)[0]

    def broken(self, kind: str) -> dict[str, str]:
        """Unreadable artifacts of ``kind``: id -> the reason in a sentence."""
        return self._scan(kind)[1]

    def _scan(self, kind: str) -> tuple[builtins.list[Manifest], dict[str, str]]:
        heal(self.root / kind)
        good: builtins.list[Manifest] = []
        bad: dict[str, str] = {}
        for id in self.ids(kind):
            try:
                good.append(self.manifest(kind, id))
            except UserError as error:
                bad[id] = str(error)
        return sorted(good, key=lambda m: m.created, reverse=True), bad

    def find(self, kind: str, ref: str) -> Manifest:
        """Resolve an id, a unique id prefix or a name (the newest of that name). UserError where there is none, or it
        fits several, or nothing is named."""
        if not ref.strip():
            raise UserError(f"{ref!r} names no {noun(kind)}.")  # not the only one there is: it may be deleted
        manifests = self.list(kind)
        fits = referred(manifests, ref)
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise UserError(f"{ref!r} fits several {kind}: {', '.join(m.id for m in fits)}. Give one.")
        if ref in self.ids(kind):
            return self.manifest(kind, ref)  # raises with the reason it cannot be read
        known = ", ".join(m.name for m in manifests[:8]) or "none yet"
        raise UserError(f"There is no {noun(kind)} called {ref!r}. Known: {known}.")

    def children(self, kind: str, id: str) -> builtins.list[Manifest]:
        """Artifacts made from this one."""
        every = (m for k in KINDS for m in self.list(k))
        return [m for m in every if any(p.kind == kind and p.id == id for p in m.parents)]

    def parent_of(self, manifest: Manifest) -> Parent:
        """The reference to ``manifest`` that a child keeps."""
        try:
            folder = self.path(manifest.kind, manifest.id)
            digest = self._read(folder, lambda place: file_digest(place / MANIFEST))
        except FileNotFoundError:
            digest = ""
        return Parent(kind=manifest.kind, id=manifest.id, digest=digest)

    @staticmethod
    def _read(folder: Path, read: Callable[[Path], _T]) -> _T:
        """What ``read`` finds in the folder of an artifact, also while that is replaced. FileNotFoundError when it
        is not there."""
        for place in places(folder):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return read(place)
        raise FileNotFoundError(folder)

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown artifact kind {kind!r}; one of {', '.join(KINDS)}")
