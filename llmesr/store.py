"""Artifacts on disk: the only code that knows the folder layout under the artifact root.

An artifact is ``<root>/<kind>/<id>/`` with data files beside a ``manifest.json``. It is written to
a temporary folder next to its final place, flushed, and renamed, so a reader never sees half of it.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmesr.errors import UserError

KINDS = ("datasets", "embeddings", "neighbours", "runs", "maps", "adapters", "searches")
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
_PACKAGES = ("llmesr", "torch", "transformers", "numpy", "pandas", "faiss-cpu", "umap-learn")


class Parent(BaseModel):
    """An artifact this one was made from, with the digest of its manifest at that time."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    id: str
    digest: str


class Manifest(BaseModel):
    """What made an artifact, and what is in it."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    id: str
    name: str
    schema_version: int = SCHEMA_VERSION
    created: str = ""
    parents: list[Parent] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    device: str = "cpu"
    git_commit: str | None = None
    timings: dict[str, float] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    info: dict[str, Any] = Field(default_factory=dict)

    def parent(self, kind: str) -> str | None:
        """The id of the first parent of ``kind``, or None."""
        return next((p.id for p in self.parents if p.kind == kind), None)


class Draft:
    """An artifact being written: put files under ``path``, fill ``manifest.info``."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest


class Store:
    """The artifact root: ``root`` if given, else ``LLMESR_ARTIFACTS``, else ``./artifacts``."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("LLMESR_ARTIFACTS") or "artifacts").resolve()

    def path(self, kind: str, id: str) -> Path:
        """Where the artifact is or would be; no check that it exists."""
        if kind not in KINDS:
            raise ValueError(f"unknown artifact kind {kind!r}; one of {', '.join(KINDS)}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", id):
            raise UserError(f"{id!r} is not an artifact id: letters, digits, '.', '_' and '-' only.")
        return self.root / kind / id

    def exists(self, kind: str, id: str) -> bool:
        return (self.path(kind, id) / MANIFEST).is_file()

    @contextlib.contextmanager
    def draft(
        self,
        kind: str,
        id: str,
        *,
        name: str,
        parents: list[Manifest] | None = None,
        config: dict[str, Any] | None = None,
        seed: int | None = None,
        device: str = "cpu",
    ) -> Iterator[Draft]:
        """Write an artifact: yields a :class:`Draft`, renames it into place when the block ends well.

        An error inside the block leaves nothing behind. An artifact of the same id is replaced.
        """
        final = self.path(kind, id)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{id}-", dir=final.parent))
        manifest = Manifest(kind=kind, id=id, name=name, config=config or {}, seed=seed, device=device, **provenance())
        manifest.parents = [self.parent_of(p) for p in parents or []]
        try:
            draft = Draft(temporary, manifest)
            yield draft
            files = sorted(p for p in temporary.rglob("*") if p.is_file())
            draft.manifest.files = {str(p.relative_to(temporary)): file_digest(p) for p in files}
            write_json(temporary / MANIFEST, draft.manifest.model_dump())
            os.chmod(temporary, 0o755)
            _replace_folder(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def parent_of(self, manifest: Manifest) -> Parent:
        """The reference to ``manifest`` that a child keeps."""
        path = self.path(manifest.kind, manifest.id) / MANIFEST
        digest = file_digest(path) if path.is_file() else ""
        return Parent(kind=manifest.kind, id=manifest.id, digest=digest)

    def manifest(self, kind: str, id: str) -> Manifest:
        """Read a manifest. UserError when it is missing, unreadable or of another schema version."""
        path = self.path(kind, id) / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"There is no {noun(kind)} {id!r} under {self.root}. `llmesr list` shows what is there."
            ) from None
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise UserError(
                f"The {noun(kind)} {id!r} cannot be read: {path} is damaged "
                f"({str(error).splitlines()[0]}). Delete it or make it again."
            ) from error
        if manifest.schema_version != SCHEMA_VERSION:
            raise UserError(
                f"The {noun(kind)} {id!r} has schema version {manifest.schema_version}; "
                f"this version of llmesr reads {SCHEMA_VERSION}. Make it again."
            )
        return manifest

    def list(self, kind: str) -> builtins.list[Manifest]:
        """Readable artifacts of ``kind``, newest first."""
        return self._scan(kind)[0]

    def broken(self, kind: str) -> dict[str, str]:
        """Unreadable artifacts of ``kind``: id -> the reason in a sentence."""
        return self._scan(kind)[1]

    def _scan(self, kind: str) -> tuple[builtins.list[Manifest], dict[str, str]]:
        good: builtins.list[Manifest] = []
        bad: dict[str, str] = {}
        folder = self.root / kind
        for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            try:
                good.append(self.manifest(kind, entry.name))
            except UserError as error:
                bad[entry.name] = str(error)
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
        if (folder := self.root / kind / ref).is_dir() and not ref.startswith("."):
            return self.manifest(kind, folder.name)  # raises with the reason it cannot be read
        known = ", ".join(m.name for m in manifests[:8]) or "none yet"
        raise UserError(f"There is no {noun(kind)} called {ref!r}. Known: {known}.")

    def children(self, kind: str, id: str) -> builtins.list[Manifest]:
        """Artifacts made from this one."""
        every = (m for k in KINDS for m in self.list(k))
        return [m for m in every if any(p.kind == kind and p.id == id for p in m.parents)]

    def delete(self, kind: str, id: str) -> None:
        """Remove an artifact. UserError when others were made from it (delete those first)."""
        folder = self.path(kind, id)
        if not folder.is_dir():
            raise UserError(f"There is no {noun(kind)} {id!r} to delete.")
        if children := self.children(kind, id):
            names = ", ".join(f"{m.kind}/{m.id}" for m in children[:5])
            raise UserError(f"{id!r} is used by {len(children)} artifacts ({names}); delete those first.")
        grave = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
        folder.rename(grave)
        shutil.rmtree(grave)

    def export(self, kind: str, id: str, archive: Path) -> Path:
        """Write the artifact as one ``.tar.gz`` whose only top folder is ``<kind>/<id>``."""
        self.manifest(kind, id)
        archive = Path(archive)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(self.path(kind, id), arcname=f"{kind}/{id}")
        return archive

    def import_archive(self, archive: Path) -> Manifest:
        """Unpack an archive made by :meth:`export`; paths outside ``<kind>/<id>`` are refused."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".import-") as scratch:
            try:
                with tarfile.open(archive) as tar:
                    tar.extractall(scratch, filter="data")
            except (tarfile.TarError, OSError, EOFError) as error:
                raise UserError(f"{archive} is not an archive llmesr exported: {error}.") from error
            found = list(Path(scratch).glob(f"*/*/{MANIFEST}"))
            if len(found) != 1 or found[0].parent.parent.name not in KINDS:
                raise UserError(f"{archive} does not hold exactly one artifact.")
            source = found[0].parent
            kind, id = source.parent.name, source.name
            final = self.path(kind, id)
            if final.exists():
                raise UserError(f"{kind}/{id} is already here; delete it first to import it again.")
            final.parent.mkdir(parents=True, exist_ok=True)
            manifest = Store(Path(scratch)).manifest(kind, id)
            for name, digest in manifest.files.items():
                if not (source / name).is_file() or file_digest(source / name) != digest:
                    raise UserError(f"{archive} is damaged: {name} does not match its checksum.")
            source.rename(final)
        return self.manifest(kind, id)


def provenance() -> dict[str, Any]:
    """Creation time, package versions and git commit for a manifest."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"created": now(), "versions": versions, "git_commit": _git_commit()}


def now() -> str:
    """The current time as ISO 8601 in UTC, to the microsecond (it orders artifacts)."""
    return datetime.now(UTC).isoformat()


def noun(kind: str) -> str:
    """What one artifact of a kind is called."""
    return "search" if kind == "searches" else kind.rstrip("s")


def slug(text: str) -> str:
    """``text`` as a safe part of an id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "unnamed"


def config_digest(*parts: Any) -> str:
    """Eight hex digits that change with any of ``parts`` (JSON-serialisable)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:8]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: temporary file, fsync, rename."""
    write_bytes(path, (json.dumps(value, indent=2, default=str) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _replace_folder(temporary: Path, final: Path) -> None:
    for path in temporary.rglob("*"):
        if path.is_file():
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
    if final.exists():
        grave = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
        final.rename(grave)
        temporary.rename(final)
        shutil.rmtree(grave, ignore_errors=True)
    else:
        temporary.rename(final)


_COMMIT: builtins.list[str | None] = []


def _git_commit() -> str | None:
    if not _COMMIT:
        here = Path(__file__).resolve().parent
        try:
            done = subprocess.run(
                ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
            )
            _COMMIT.append(done.stdout.strip() or None if done.returncode == 0 else None)
        except (OSError, subprocess.TimeoutExpired):
            _COMMIT.append(None)
    return _COMMIT[0]
