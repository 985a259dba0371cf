"""The store held against its own checksums."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.store.derived import damaged
from llmesr.store.files import file_digest
from llmesr.store.manifest import KINDS, MANIFEST, STATUS, Parent
from llmesr.store.root import Store


@dataclass(frozen=True)
class Finding:
    """Something about one artifact that a person should know. What is not ``damaged`` can still be used; otherwise
    ``file`` is the one that is."""

    kind: str
    id: str
    what: str
    damaged: bool
    file: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(store: Store, *, checksums: bool = True, progress: Progress = silent) -> list[Finding]:
    """What is wrong with the artifacts: manifests that cannot be read, files that are missing or have changed, and
    parents that are gone or are others than they were. What a killed process has left out of sight is back first."""
    store.heal()
    every = [(kind, id) for kind in KINDS for id in store.ids(kind)]
    found: list[Finding] = []
    for done, (kind, id) in enumerate(every):
        progress("checking artifacts", done, len(every))
        found += _of(store, kind, id, checksums)
    progress("checking artifacts", len(every), len(every))
    return found


def _readable(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def _has_manifest(store: Store, parent: Parent) -> bool:
    """Whether what somebody's parent says of itself can be read."""
    try:
        store.manifest(parent.kind, parent.id)
    except UserError:
        return False
    return True


def _of(store: Store, kind: str, id: str, checksums: bool) -> Iterator[Finding]:
    try:
        manifest = store.manifest(kind, id)
    except UserError as error:
        yield Finding(kind, id, str(error), damaged=True, file=MANIFEST)
        return
    folder = store.path(kind, id)
    if (folder / STATUS).is_file() and not _readable(folder / STATUS):
        yield Finding(kind, id, f"{STATUS} cannot be read.", damaged=True, file=STATUS)
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            yield Finding(kind, id, f"{name} is missing.", damaged=True, file=name)
        elif checksums and file_digest(folder / name) != digest:
            yield Finding(kind, id, f"{name} does not match its checksum.", damaged=True, file=name)
    for name in damaged(folder) if checksums else ():
        yield Finding(kind, id, f"{name}, a faster form of it, does not match its checksum.", damaged=True, file=name)
    for parent in manifest.parents:
        if not store.exists(parent.kind, parent.id):
            yield Finding(kind, id, f"It was made from {parent.kind}/{parent.id}, which is gone.", damaged=False)
        elif parent.digest and store.digest(parent.kind, parent.id) != parent.digest:
            became = "has been made anew since" if _has_manifest(store, parent) else "cannot be read"
            yield Finding(kind, id, f"It was made from {parent.kind}/{parent.id}, which {became}.", damaged=False)
