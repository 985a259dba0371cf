"""list, delete, export, import, push, pull: what is under the artifact root, and copies of it elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import Json, emit, progress, store, table
from llmesr.errors import UserError
from llmesr.store import KINDS, export_archive, import_archive, noun

if TYPE_CHECKING:
    from llmesr.remote import Remote

Which = Annotated[list[str] | None, typer.Argument(metavar="[KIND/REF]...", help="Such as runs/RUN, as `list` shows.")]
Every = Annotated[bool, typer.Option("--all", help="Every finished artifact.")]
WHERE = "URL of a folder or object store: file:///shared/llmesr, s3://bucket/llmesr ...; default LLMESR_REMOTE."


def _kind(kind: str) -> str:
    plural = next((k for k in KINDS if kind in (k, noun(k))), None)
    if plural is None:
        raise UserError(f"{kind!r} is not a kind of artifact; one of {', '.join(KINDS)}.")
    return plural


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="datasets, embeddings, neighbours, runs, maps, adapters, searches, contests, studies, findings "
            "or votes"
        ),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Show what is complete at this URL instead.")] = None,
    json: Json = False,
) -> None:
    """What is under the artifact root, newest first."""
    kinds = [_kind(kind)] if kind else list(KINDS)
    if at is not None:
        there = [m for k in kinds for m in _remote(at).list(k)]
        grid = [[f"{m.kind}/{m.id}", m.name, m.created[:19].replace("T", " ")] for m in there]
        emit(json, {"artifacts": [m.model_dump() for m in there]}, table(at, ["artifact", "name", "created"], grid))
        return
    found = [m for k in kinds for m in store().list(k)]
    broken = {f"{k}/{id}": why for k in kinds for id, why in store().broken(k).items()}
    rows = [[f"{m.kind}/{m.id}", m.name, m.created[:19].replace("T", " ")] for m in found]
    rows += [[id, "damaged", why] for id, why in broken.items()]
    document = {"artifacts": [m.model_dump() for m in found], "damaged": broken}
    emit(json, document, table(str(store().root), ["artifact", "name", "created"], rows))


def delete(kind: str, ref: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete an artifact that nothing else was made from."""
    kind, here = _kind(kind), store()
    id = ref if ref in here.ids(kind) else here.find(kind, ref).id  # what cannot be read can be deleted
    if not yes:
        typer.confirm(f"Delete {kind}/{id}?", abort=True)
    here.delete(kind, id)


def export(
    kind: Annotated[str, typer.Argument(help="Such as run, dataset, embedding.")],
    ref: Annotated[str, typer.Argument(help="Its name, id or the start of one.")],
    target: Annotated[
        str | None, typer.Argument(help="File or folder to write; for mlflow its tracking URI (MLFLOW_TRACKING_URI).")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="archive (.tar.gz, for `import`); run: mlflow, tensorboard, parquet; embedding: parquet; dataset: "
            "recbole, rectools, lenskit.",
        ),
    ] = "archive",
    users: Annotated[bool, typer.Option("--users", help="The vectors of the users instead of the items.")] = False,
    json: Json = False,
) -> None:
    """Write an artifact as one .tar.gz, or for other tools."""
    kind, here = _kind(kind), store()
    id = here.find(kind, ref).id
    if target is None and to != "mlflow":
        raise UserError("Say where to write: `llmesr export KIND REF TARGET`.")
    if to == "archive":
        path = export_archive(here, kind, id, Path(str(target)))
        emit(json, {"archive": str(path)}, f"Wrote {path}")
        return
    from llmesr.cli.exporting import written

    made = written(here, kind, id, to, target, "users" if users else "items")
    emit(json, {"written": made}, "\n".join(f"Wrote {place}" for place in made))


def import_(archive: Path, json: Json = False) -> None:
    """Bring in an archive written by `export`."""
    manifest = import_archive(store(), archive)
    emit(json, {"id": manifest.id, "kind": manifest.kind}, f"Imported {manifest.kind}/{manifest.id}")


def push(
    which: Which = None,
    to: Annotated[str | None, typer.Option("--to", help=WHERE)] = None,
    every: Every = False,
    json: Json = False,
) -> None:
    """Copy artifacts, and what they were made from, to a shared folder or object store; what is there is skipped."""
    remote, here = _remote(to), store()
    wanted = [(k, m.id) for k in KINDS for m in here.list(k) if here.finished(k, m.id)] if every else []
    for kind, ref in _named(which, every):
        wanted.append((kind, here.find(kind, ref).id))
    with progress() as listen:
        sent = [name for kind, id in wanted for name in remote.push(here, kind, id, listen)]
    emit(json, {"sent": sent}, f"Sent {len(sent)} artifacts to {remote.url}{': ' * bool(sent)}{', '.join(sent)}")


def pull(
    which: Which = None,
    source: Annotated[str | None, typer.Option("--from", help=WHERE)] = None,
    every: Every = False,
    json: Json = False,
) -> None:
    """Bring artifacts, and what they were made from, out of a shared folder or object store; what is here stays."""
    remote, here = _remote(source), store()
    wanted = [(k, m.id) for k in KINDS for m in remote.list(k)] if every else []
    for kind, ref in _named(which, every):
        wanted.append((kind, remote.find(kind, ref).id))
    with progress() as listen:
        brought = [name for kind, id in wanted for name in remote.pull(here, kind, id, listen)]
    said = f"Brought {len(brought)} artifacts from {remote.url}{': ' * bool(brought)}{', '.join(brought)}"
    emit(json, {"brought": brought}, said)


def _remote(url: str | None) -> Remote:
    from llmesr.remote import Remote

    url = url or os.environ.get("LLMESR_REMOTE")
    if not url:
        raise UserError("Say where: a URL such as file:///shared/llmesr or s3://bucket/llmesr, or set LLMESR_REMOTE.")
    return Remote(url)


def _named(which: list[str] | None, every: bool) -> list[tuple[str, str]]:
    if bool(which) == every:
        raise UserError("Name artifacts as `llmesr list` shows them (runs/RUN), or give --all.")
    parts = [name.partition("/") for name in which or []]
    if odd := next((kind for kind, _, ref in parts if not ref), None):
        raise UserError(f"{odd!r} does not say of which kind it is: KIND/REF, such as runs/{odd}.")
    return [(_kind(kind), ref) for kind, _, ref in parts]


def register(app: typer.Typer) -> None:
    app.command("list")(list_)
    app.command()(delete)
    app.command()(export)
    app.command("import")(import_)
    app.command()(push)
    app.command()(pull)
