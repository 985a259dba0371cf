"""The artifacts under one root, as they are written: each appears, changes and goes in one step."""

from __future__ import annotations

import builtins
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmesr.errors import UserError
from llmesr.store.files import belonging, file_digest, sync_files, write_json
from llmesr.store.leftovers import DELETED, GIVING_WAY, REPLACED, SCRATCH, heal, hidden, quarantined
from llmesr.store.lock import Held, locked
from llmesr.store.manifest import KINDS, MANIFEST, Manifest, noun, provenance
from llmesr.store.shelf import Shelf


class Draft:
    """An artifact being written: put files under ``path``, fill ``manifest.info``."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest


class Store(Shelf):
    """The artifact root: ``root`` if given, else ``LLMESR_ARTIFACTS``, else ``./artifacts``."""

    @contextlib.contextmanager
    def scratch(self, kind: str | None = None) -> Iterator[Path]:
        """A hidden folder beside the artifacts (of a kind, or the jobs) for what is renamed into place; gone when the
        block ends."""
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
            if not final.exists():
                scratch.rename(final)
                return
            old = final.rename(hidden(final, REPLACED))  # readers look for it there until the new one is in its place
            try:
                scratch.rename(final)
            except BaseException:
                old.rename(final)
                raise
            old = old.rename(hidden(final, DELETED))
        shutil.rmtree(old, ignore_errors=True)

    @contextlib.contextmanager
    def changing(self, kind: str, id: str) -> Iterator[Manifest]:
        """The manifest of an artifact, written anew in one step when the block ends well. Of two who change it at the
        same time, the second sees what the first has written. UserError when it cannot be read."""
        self.manifest(kind, id)  # one whose replacement was killed is put back: with the lock held nobody can
        with locked(self.root):
            manifest = self.manifest(kind, id).model_copy(deep=True)
            yield manifest
            write_json(self.path(kind, id) / MANIFEST, manifest.model_dump())

    @contextlib.contextmanager
    def hold(self, kind: str, id: str) -> Iterator[None]:
        """Be the only one who works on an artifact. UserError when another process does, or when there is none."""
        self.manifest(kind, id)
        with self._held(self.path(kind, id), f"The {noun(kind)} {id!r}"):
            self.manifest(kind, id)  # it may have been deleted before the lock was ours
            yield

    @contextlib.contextmanager
    def _held(self, folder: Path, what: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(folder, wait=False, make=False))
            except Held as held:
                who = f" (process {held})" if str(held) else ""
                raise UserError(f"{what} is being worked on{who}. Wait until that ends, or stop it first.") from None
            except FileNotFoundError:
                raise UserError(f"{what} is not there any more.") from None
            yield

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
            with locked(self.root), locked(entry, wait=False, make=False):  # what is being replaced is waited for
                entry.rename(grave)
        except Held:
            raise UserError(f"The {noun(kind)} {id!r} is being worked on; stop that first, then delete it.") from None
        except FileNotFoundError:
            raise UserError(f"There is no {noun(kind)} {id!r} to delete.") from None
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
        for folder in (self.root, *(self.root / kind for kind in (*KINDS, "jobs"))):
            heal(folder)
