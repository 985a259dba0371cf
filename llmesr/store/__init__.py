"""Artifacts on disk: the only code that knows the folder layout under the artifact root.

    <root>/<kind>/<id>/manifest.json    what made the artifact; with it the artifact is there, without it nothing is
    <root>/<kind>/<id>/status.json      of work in stages (runs, adapters, searches): where it stands
    <root>/<kind>/<id>/checkpoints/     what only going on with the work needs; it stays at home
    <root>/<kind>/<id>/.lock            held by whoever writes to the artifact
    <root>/<kind>/<id>/.mapped/         a faster form of the same, made again when it is missing
    <root>/<kind>/.scratch.*            being written; renamed into place in one step
    <root>/quarantine/<kind>/           damaged ones that a repair has put aside
    <root>/jobs, uploads, downloads, addresses, cache

An artifact appears, is replaced and is deleted by renaming one folder, so a reader never sees half of it. What a killed
process leaves is hidden (its name begins with a dot) and :meth:`Store.heal` removes it.
"""

from llmesr.store.archive import check_identity, check_size, check_whole, export_archive, import_archive
from llmesr.store.derived import derived, forget
from llmesr.store.examine import Finding, examine
from llmesr.store.files import (
    deliver,
    delivered,
    file_digest,
    read_json,
    replacing,
    share_file,
    write_bytes,
    write_json,
)
from llmesr.store.lock import is_locked, locked
from llmesr.store.manifest import (
    CHECKPOINTS,
    KINDS,
    MANIFEST,
    SCHEMA_VERSION,
    STATUS,
    Manifest,
    Parent,
    config_digest,
    noun,
    now,
    parse_manifest,
    provenance,
    referred,
    slug,
)
from llmesr.store.root import Draft, Store
from llmesr.store.tensor_header import header_bytes, read_header

__all__ = [
    "CHECKPOINTS",
    "KINDS",
    "MANIFEST",
    "SCHEMA_VERSION",
    "STATUS",
    "Draft",
    "Finding",
    "Manifest",
    "Parent",
    "Store",
    "check_identity",
    "check_size",
    "check_whole",
    "config_digest",
    "deliver",
    "delivered",
    "derived",
    "examine",
    "export_archive",
    "file_digest",
    "forget",
    "header_bytes",
    "import_archive",
    "is_locked",
    "locked",
    "noun",
    "now",
    "parse_manifest",
    "provenance",
    "read_header",
    "read_json",
    "referred",
    "replacing",
    "share_file",
    "slug",
    "write_bytes",
    "write_json",
]
