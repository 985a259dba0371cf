"""The artifacts under one root."""

from __future__ import annotations

import builtins
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from llmesr.errors import UserError
from llmesr.store.files import belonging, file_digest, read_json, sync_files, write_json
from llmesr.store.leftovers import DELETED, GIVING_WAY, REPLACED, SCRATCH, heal, hidden, quarantined
from llmesr.store.lock import Held, locked
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
    provenance,
)

WorkFolder = Literal["jobs", "uploads", "downloads", "addresses", "cache", "quarantine"]


class Draft:
    """An artifact being written: put files under ``path``, fill ``manifest.info``."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest


class Store:
    """The artifact root: ``root`` if given, else ``LLMESR_ARTIFACTS``, else ``./artifacts``."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("LLMESR_ARTIFACTS") or "artifacts").resolve()

    @classmethod
    def around(cls, folder: Path) -> Store:
        """The store in which the folder of an artifact or of a job lies."""
        return cls(Path(folder).resolve().parent.parent)

    # -- where things are ------------------------------------------------------------------------------------------

    def path(self, kind: str, id: str) -> Path:
        """Where the artifact is or would be; no check that it exists."""
        self._check_kind(kind)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", id):
            raise UserError(f"{id!r} is not an artifact id: letters, digits, '.', '_' and '-' only.")
        return self.root / kind / id

    def work_folder(self, name: WorkFolder) -> Path:
        """A folder beside the artifacts, for what is none; it may not exist yet."""
        return self.root / name

    def exists(self, kind: str, id: str) -> bool:
        """Whether there is such an artifact: a folder with a manifest."""
        return (self.path(kind, id) / MANIFEST).is_file()

    def ids(self, kind: str) -> builtins.list[str]:
        """The folders under a kind, readable or not, sorted."""
        self._check_kind(kind)
        folder = self.root / kind
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]

    def files(self, kind: str, id: str) -> builtins.list[Path]:
        """The files that belong to an artifact, its manifest among them; no checkpoints, nothing hidden."""
        return belonging(self.path(kind, id), without=(CHECKPOINTS,))

    def finished(self, kind: str, id: str) -> bool:
        """Whether an artifact is whole: one that is still made, was stopped or has failed is not."""
        path = self.path(kind, id) / STATUS
        if not path.is_file():
            return self.exists(kind, id)
        try:
            return bool(read_json(path, f"The {noun(kind)} {id!r}", "")["state"] == "SUCCEEDED")
        except (UserError, TypeError, KeyError):  # a status that says nothing does not say that it has ended well
            return False

    # -- reading ---------------------------------------------------------------------------------------------------

    def manifest(self, kind: str, id: str) -> Manifest:
        """Read a manifest. UserError when it is missing, unreadable or of another schema version."""
        path = self.path(kind, id) / MANIFEST
        try:
            manifest = parse_manifest(path.read_bytes())
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
        path = self.path(kind, id) / MANIFEST
        if not path.is_file():
            raise UserError(f"There is no {noun(kind)} {id!r} any more. Choose another.")
        return file_digest(path)

    def stamp(self, kind: str, id: str, name: str = MANIFEST) -> tuple[int, int] | None:
        """Time (ns) and size of a file of an artifact, cheaper than its digest; None while there is no such file."""
        try:
            found = (self.path(kind, id) / name).stat()
        except (OSError, UserError):  # it is gone, or what lies there has no id of an artifact
            return None
        return found.st_mtime_ns, found.st_size

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
        """Resolve an id, a unique id prefix or a name (the newest of that name)."""
        manifests = self.list(kind)
        for match in (
            [m for m in manifests if m.id == ref],
            [m for m in manifests if m.name == ref],
            [m for m in manifests if m.id.startswith(ref)],
        ):
            if len({m.id for m in match}) > 1 and match[0].name != ref:
                raise UserError(f"{ref!r} fits several {kind}: {', '.join(m.id for m in match)}. Give one.")
            if match:
                return match[0]
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
        path = self.path(manifest.kind, manifest.id) / MANIFEST
        digest = file_digest(path) if path.is_file() else ""
        return Parent(kind=manifest.kind, id=manifest.id, digest=digest)

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def scratch(self, kind: str | None = None) -> Iterator[Path]:
        """A hidden folder beside the artifacts (of a kind) for what :meth:`place` takes; gone when the block ends."""
        parent = self.root / kind if kind else self.root
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
        try:
            with locked(folder):  # what nobody holds was left by a killed process
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def draft(
        self,
        kind: str,
        id: str,
        *,
        name: str,
        parents: builtins.list[Manifest] | None = None,
        config: dict[str, Any] | None = None,
        seed: int | None = None,
        device: str = "cpu",
    ) -> Iterator[Draft]:
        """Write an artifact: yields a :class:`Draft`, renames it into place when the block ends well.

        An error inside the block leaves nothing behind. An artifact of the same id is replaced.
        """
        self.path(kind, id)  # an id that is none is refused before anything is written
        manifest = Manifest(kind=kind, id=id, name=name, config=config or {}, seed=seed, device=device, **provenance())
        manifest.parents = [self.parent_of(p) for p in parents or []]
        with self.new(manifest, replace=True) as folder:
            yield Draft(folder, manifest)
            manifest.files = {p.relative_to(folder).as_posix(): file_digest(p) for p in belonging(folder)}

    @contextlib.contextmanager
    def new(self, manifest: Manifest, *, replace: bool) -> Iterator[Path]:
        """A folder that is made the artifact of ``manifest`` (see :meth:`place`) when the block ends well."""
        with self.scratch(manifest.kind) as folder:
            yield folder
            write_json(folder / MANIFEST, manifest.model_dump())
            self.place(folder, manifest.kind, manifest.id, replace=replace)

    def place(self, scratch: Path, kind: str, id: str, *, replace: bool = True) -> None:
        """Make the files in ``scratch``, the manifest among them, an artifact in one step.

        What lies there without a manifest is none and gives way. FileExistsError when there is an artifact already and
        it is not to be replaced.
        """
        final = self.path(kind, id)
        sync_files(scratch)
        scratch.chmod(0o755)
        final.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.root):  # of two who place the same artifact the second sees that of the first
            if not replace and self.exists(kind, id):
                raise FileExistsError(final)
            if final.exists():
                old = hidden(final, REPLACED)
                final.rename(old)
                scratch.rename(final)
                shutil.rmtree(old, ignore_errors=True)
            else:
                scratch.rename(final)

    @contextlib.contextmanager
    def changing(self, kind: str, id: str) -> Iterator[Manifest]:
        """The manifest of an artifact, written anew in one step when the block ends well. Of two who change it at the
        same time, the second sees what the first has written. UserError when it cannot be read."""
        with locked(self.root):
            manifest = self.manifest(kind, id)
            yield manifest
            write_json(self.path(kind, id) / MANIFEST, manifest.model_dump())

    @contextlib.contextmanager
    def hold(self, kind: str, id: str) -> Iterator[None]:
        """Be the only one who works on an artifact. UserError when another process does, or when there is none."""
        self.manifest(kind, id)
        with self._held(self.path(kind, id), f"The {noun(kind)} {id!r}"):
            yield

    @contextlib.contextmanager
    def _held(self, folder: Path, what: str) -> Iterator[None]:
        try:
            with locked(folder, wait=False):
                yield
        except Held as held:
            who = f" (process {held})" if str(held) else ""
            raise UserError(f"{what} is being worked on{who}. Wait until that ends, or stop it first.") from None

    def delete(self, kind: str, id: str) -> None:
        """Remove an artifact, whole or not. UserError when others were made from it, or while somebody works on it."""
        if id not in self.ids(kind):
            raise UserError(f"There is no {noun(kind)} {id!r} to delete.")
        if children := self.children(kind, id):
            names = ", ".join(f"{m.kind}/{m.id}" for m in children[:5])
            raise UserError(f"{id!r} is used by {len(children)} artifacts ({names}); delete those first.")
        entry = self.root / kind / id
        grave = hidden(entry, DELETED)
        try:
            with locked(entry, wait=False):
                entry.rename(grave)
        except Held:
            raise UserError(f"The {noun(kind)} {id!r} is being worked on; stop that first, then delete it.") from None
        shutil.rmtree(grave)

    def put_aside(self, folder: Path) -> Path:
        """Move the folder of something damaged to where nobody reads it; where it lies now."""
        return quarantined(folder, folder.name)

    @contextlib.contextmanager
    def giving_way(self, kind: str, id: str) -> Iterator[None]:
        """While the block runs, an artifact is not there, so that another can be made in its place. It lies in
        quarantine when the block ends well, and is back when it does not, or when it is killed. UserError while
        somebody works on it."""
        folder = self.path(kind, id)
        with self._held(folder, f"The {noun(kind)} {id!r}"):
            old = folder.rename(hidden(folder, GIVING_WAY))
            try:
                yield
            except BaseException:
                if not folder.exists():
                    old.rename(folder)
                raise
            quarantined(old, id)

    def heal(self) -> None:
        """Remove what killed processes left, and put back an artifact that was being replaced. Nothing in use."""
        for folder in (self.root, *(self.root / kind for kind in KINDS)):
            heal(folder)

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown artifact kind {kind!r}; one of {', '.join(KINDS)}")
