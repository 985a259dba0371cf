"""What made an artifact, and what is in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llmesr.store.made_of import check_run

Migration = Callable[[dict[str, Any]], dict[str, Any]]
KINDS = (
    "datasets",
    "embeddings",
    "neighbours",
    "runs",
    "maps",
    "adapters",
    "searches",
    "contests",
    "studies",
    "findings",
    "votes",
)
SCHEMA_VERSION = 1
MIGRATIONS: dict[str, Migration] = {}
"""Schema version -> what makes the values of a manifest those of the next one. Manifests are migrated as they are read;
what is on the disk stays, so that the version before can still be gone back to."""
MANIFEST, STATUS, CHECKPOINTS = "manifest.json", "status.json", "checkpoints"
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


def parse_manifest(content: bytes) -> Manifest:
    """A manifest from its JSON, brought to this schema version where it is of one before. pydantic's ValidationError
    or ValueError when it is none, or that of a run which says nonsense of what it is made of."""
    values = json.loads(content)
    if not isinstance(values, dict):
        raise ValueError("not an object")
    while (version := str(values.get("schema_version", SCHEMA_VERSION))) in MIGRATIONS:
        values = MIGRATIONS[version](values)
    manifest = Manifest.model_validate(values)
    if manifest.kind == "runs":
        check_run(manifest.config, manifest.info, {p.id for p in manifest.parents if p.kind == "runs"})
    return manifest


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


def referred(manifests: Sequence[Manifest], ref: str) -> list[Manifest]:
    """Those that a reference fits, of manifests newest first: the one with this id, else the newest of this name, else
    each whose id begins so; none where nothing is named."""
    if not ref.strip():
        return []
    by_id, by_name = ([m for m in manifests if m.id == ref], [m for m in manifests if m.name == ref])
    return by_id or by_name[:1] or [m for m in manifests if m.id.startswith(ref)]


def slug(text: str) -> str:
    """``text`` as a safe part of an id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "unnamed"


def config_digest(*parts: Any) -> str:
    """Eight hex digits that change with any of ``parts`` (JSON-serialisable)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:8]


@cache
def _git_commit() -> str | None:
    """The commit of the checkout this package lies in, or None."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
