"""One artifact as one file, to carry elsewhere. What comes back is not trusted until all of it has been checked."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from llmesr.errors import UserError
from llmesr.store.files import delivered, file_digest
from llmesr.store.manifest import KINDS, MANIFEST, Manifest, parse_manifest
from llmesr.store.root import Store

LIST = "files.json"
"""Member beside the artifact's folder: the checksum of every file in it."""
MOST_FILES = 100_000
MOST_BYTES = 50 * 10**9
DEEPEST = 8
PIECE = 1 << 20
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE)


def export_archive(store: Store, kind: str, id: str, archive: Path) -> Path:
    """Write an artifact as one ``.tar.gz``: the folder ``<kind>/<id>``, then the checksums of its files.

    UserError when it is not finished or not whole; nothing is written then.
    """
    digests, sealed = check_whole(store, kind, id, "exported"), store.manifest(kind, id).files
    archive, folder = Path(archive), store.path(kind, id)
    with delivered(archive) as part, tarfile.open(part, mode="w:gz") as tar:
        for name in digests:
            if name not in sealed:  # such as the manifest: it may have been changed while the others were read
                digests[name] = file_digest(folder / name)
            tar.add(folder / name, arcname=f"{kind}/{id}/{name}")
        with tempfile.NamedTemporaryFile("w+b") as listed:
            listed.write(json.dumps(digests).encode())
            listed.flush()
            tar.add(listed.name, arcname=LIST)
    return archive


def import_archive(store: Store, archive: Path) -> Manifest:
    """Unpack an archive made by :func:`export_archive`.

    UserError when it is none, holds not exactly one artifact, is larger than an artifact can be, names files outside
    of it, is damaged, tells another identity than its folder's, or holds what is here already.
    """
    with store.scratch() as scratch:
        kind, id = _unpack(Path(archive), scratch)
        source = scratch / kind / id
        manifest = _read_manifest(source, archive)
        check_identity(store, manifest, kind, id)
        _check_digests(archive, scratch, source, manifest)
        try:
            store.place(source, kind, id, replace=False)
        except FileExistsError:
            raise UserError(f"{kind}/{id} is already here; delete it first to import it again.") from None
    return store.manifest(kind, id)


def check_whole(store: Store, kind: str, id: str, done: str) -> dict[str, str]:
    """The files of an artifact with their checksums. UserError when it has not finished or is damaged, which may not be
    ``done`` (pushed, exported): whoever comes back to such a copy finds out too late."""
    manifest, folder = store.manifest(kind, id), store.path(kind, id)
    if not store.finished(kind, id):
        raise UserError(f"{kind}/{id} has not finished (`llmesr list {kind}`); only what has can be {done}.")
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in store.files(kind, id)}
    if changed := [name for name, digest in manifest.files.items() if files.get(name) != digest]:
        raise UserError(f"{kind}/{id} is damaged here: {changed[0]} does not match its checksum. Make it again.")
    return files


def check_identity(store: Store, manifest: Manifest, kind: str, id: str) -> None:
    """UserError unless a manifest from elsewhere is that of ``kind/id`` and none of its ancestors descends from it."""
    if (manifest.kind, manifest.id) != (kind, id):
        raise UserError(f"What is called {kind}/{id} says that it is {manifest.kind}/{manifest.id}; it is not taken.")
    seen: set[tuple[str, str]] = set()
    ahead = [(p.kind, p.id) for p in manifest.parents]
    while ahead:
        one = ahead.pop()
        if one[0] not in KINDS:
            raise UserError(f"{kind}/{id} says it was made from {one[0][:60]!r}, which is not a kind of artifact.")
        store.path(*one)  # an id that is none is refused
        if one == (kind, id):
            raise UserError(f"{kind}/{id} names itself among what it was made from; it is not taken.")
        if one not in seen and store.exists(*one):
            seen.add(one)
            ahead += [(p.kind, p.id) for p in store.manifest(*one).parents]


def check_size(what: str, files: int, octets: int, free: int) -> None:
    """UserError when more would be written than an artifact can hold, or than there is room for."""
    if files > MOST_FILES or octets > MOST_BYTES:
        raise UserError(
            f"{what} holds {files:,} files of {octets / 1e9:,.1f} GB; an artifact has at most {MOST_FILES:,} files "
            f"and {MOST_BYTES / 1e9:,.0f} GB. It is not taken."
        )
    if octets > free:
        raise UserError(f"{what} needs {octets / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free. Make room first.")


class _Pieces(gzip.GzipFile):
    """A gzip stream that is read in pieces: a header that claims gigabytes is refused and not read into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= PIECE:
            raise tarfile.ReadError(f"a header of {size or -1:,} octets")
        return super().read(size)

    def read_to_the_end(self) -> None:
        """The checksum of the whole stands there, where tarfile does not look."""
        while self.read(PIECE):
            pass


def _unpack(archive: Path, scratch: Path) -> tuple[str, str]:
    """Write the members under ``scratch``; kind and id of the one artifact."""
    if not archive.exists() or archive.is_dir():
        raise UserError(f"There is no file {archive}. Give an archive that `llmesr export` wrote.")
    found: set[tuple[str, str]] = set()
    written: set[str] = set()
    octets = 0
    free = shutil.disk_usage(scratch).free
    try:
        with open(archive, "rb") as raw, tarfile.open(fileobj=(stream := _Pieces(fileobj=raw)), mode="r:") as tar:
            for member in _members(tar):
                name = _safe_name(archive, member)
                if name in written:
                    raise UserError(f"{archive} holds {name} twice; it is not taken.")
                written.add(name)
                octets += member.size
                check_size(str(archive), len(written), octets, free)
                if name != LIST:
                    kind, id = PurePosixPath(name).parts[:2]
                    found.add((kind, id))
                target = scratch / name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None  # a regular file
                with open(target, "xb") as out:
                    shutil.copyfileobj(source, out)
            stream.read_to_the_end()
    except UserError:
        raise
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise UserError(f"{archive} is not an archive llmesr exported, or is damaged: {error}.") from error
    if len(found) != 1:
        raise UserError(f"{archive} does not hold exactly one artifact.")
    return found.pop()


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files only; folders are made as they are needed."""
    for member in tar:
        if member.isdir():
            continue
        if not member.isreg():
            raise UserError(f"The archive holds {member.name!r}, which is neither file nor folder; it is not taken.")
        yield member


def _safe_name(archive: Path, member: tarfile.TarInfo) -> str:
    """The name of a member, which is ``files.json`` or lies under ``<kind>/<id>``."""
    path = PurePosixPath(member.name)
    if member.name == LIST:
        return LIST
    plain = not path.is_absolute() and not any(p.startswith(".") or "\\" in p or len(p) > 200 for p in path.parts)
    if not plain or not 3 <= len(path.parts) <= DEEPEST or path.parts[0] not in KINDS or len(member.name) > 500:
        raise UserError(f"{archive} is not an archive llmesr exported: it has a file {member.name[:200]!r}.")
    return path.as_posix()


def _read_manifest(source: Path, archive: Path) -> Manifest:
    try:
        return parse_manifest((source / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{archive} does not hold exactly one artifact: there is no {MANIFEST}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{archive} is damaged: {MANIFEST} cannot be read.") from error


def _check_digests(archive: Path, scratch: Path, source: Path, manifest: Manifest) -> None:
    """Every file against the list of the archive (versions before had none) and that of the manifest."""
    there = {p.relative_to(source).as_posix(): file_digest(p) for p in source.rglob("*") if p.is_file()}
    promised = list(manifest.files.items())
    if (scratch / LIST).is_file():
        try:
            listed = dict(json.loads((scratch / LIST).read_bytes()))
        except (ValueError, TypeError) as error:
            raise UserError(f"{archive} is damaged: {LIST} cannot be read.") from error
        if extra := sorted(set(there) - set(listed)):
            raise UserError(f"{archive} is damaged: {extra[0]} is not among the files it lists.")
        promised += listed.items()
    for name, digest in promised:
        if there.get(name) != digest:
            raise UserError(f"{archive} is damaged: {name} does not match its checksum.")
