"""list, delete, export, import: what is under the artifact root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmesr.cli.output import Json, emit, store, table
from llmesr.errors import UserError
from llmesr.store import KINDS, noun


def _kind(kind: str) -> str:
    plural = next((k for k in KINDS if kind in (k, noun(k))), None)
    if plural is None:
        raise UserError(f"{kind!r} is not a kind of artifact; one of {', '.join(KINDS)}.")
    return plural


def list_(
    kind: Annotated[
        str | None, typer.Argument(help="datasets, embeddings, neighbours, runs, maps, adapters or searches")
    ] = None,
    json: Json = False,
) -> None:
    """What is under the artifact root, newest first."""
    kinds = [_kind(kind)] if kind else list(KINDS)
    found = [m for k in kinds for m in store().list(k)]
    broken = {f"{k}/{id}": why for k in kinds for id, why in store().broken(k).items()}
    rows = [[f"{m.kind}/{m.id}", m.name, m.created[:19].replace("T", " ")] for m in found]
    rows += [[id, "damaged", why] for id, why in broken.items()]
    document = {"artifacts": [m.model_dump() for m in found], "damaged": broken}
    emit(json, document, table(str(store().root), ["artifact", "name", "created"], rows))


def delete(kind: str, ref: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete an artifact that nothing else was made from."""
    kind = _kind(kind)
    manifest = store().find(kind, ref)
    if not yes:
        typer.confirm(f"Delete {kind}/{manifest.id}?", abort=True)
    store().delete(kind, manifest.id)


def export(kind: str, ref: str, archive: Path, json: Json = False) -> None:
    """Write an artifact as one .tar.gz."""
    kind = _kind(kind)
    path = store().export(kind, store().find(kind, ref).id, archive)
    emit(json, {"archive": str(path)}, f"Wrote {path}")


def import_(archive: Path, json: Json = False) -> None:
    """Bring in an archive written by `export`."""
    manifest = store().import_archive(archive)
    emit(json, {"id": manifest.id, "kind": manifest.kind}, f"Imported {manifest.kind}/{manifest.id}")


def register(app: typer.Typer) -> None:
    app.command("list")(list_)
    app.command()(delete)
    app.command()(export)
    app.command("import")(import_)
