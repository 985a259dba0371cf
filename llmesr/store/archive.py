"""One artifact as one file, to carry elsewhere."""

from __future__ import annotations

import tarfile
from pathlib import Path

from llmesr.errors import UserError
from llmesr.store.files import belonging, file_digest
from llmesr.store.manifest import KINDS, MANIFEST, Manifest
from llmesr.store.root import Store


def export_archive(store: Store, kind: str, id: str, archive: Path) -> Path:
    """Write an artifact as one ``.tar.gz`` whose only top folder is ``<kind>/<id>``."""
    store.manifest(kind, id)
    archive, folder = Path(archive), store.path(kind, id)
    with tarfile.open(archive, "w:gz") as tar:
        for path in belonging(folder):
            tar.add(path, arcname=f"{kind}/{id}/{path.relative_to(folder).as_posix()}")
    return archive


def import_archive(store: Store, archive: Path) -> Manifest:
    """Unpack an archive made by :func:`export_archive`; paths outside ``<kind>/<id>`` are refused.

    UserError when it is none, holds not exactly one artifact, is damaged, or holds what is here already.
    """
    with store.scratch() as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{archive} is not an archive llmesr exported: {error}.") from error
        found = list(scratch.glob(f"*/*/{MANIFEST}"))
        if len(found) != 1 or found[0].parent.parent.name not in KINDS:
            raise UserError(f"{archive} does not hold exactly one artifact.")
        source = found[0].parent
        kind, id = source.parent.name, source.name
        store.path(kind, id)  # an id that is none is refused
        manifest = Store(scratch).manifest(kind, id)
        for name, digest in manifest.files.items():
            if not (source / name).is_file() or file_digest(source / name) != digest:
                raise UserError(f"{archive} is damaged: {name} does not match its checksum.")
        try:
            store.place(source, kind, id, replace=False)
        except FileExistsError:
            raise UserError(f"{kind}/{id} is already here; delete it first to import it again.") from None
    return store.manifest(kind, id)
