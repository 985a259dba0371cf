"""runs: tags, notes and archive, to keep many runs in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import Json, emit, store, table

if TYPE_CHECKING:
    from llmesr.runs.record import Run

commands = typer.Typer(no_args_is_help=True, help="Tags, notes and archive of runs.")
Ref = Annotated[str, typer.Argument(help="A run: id, the start of one, or name.", metavar="RUN")]


def _find(ref: str) -> Run:
    from llmesr.runs.record import find_run

    return find_run(store(), ref)


def _told(runs: list[Run], as_json: bool) -> None:
    said = {run.id: run.remarks for run in runs}
    rows = [[run.id, run.label, run.status().state, ", ".join(said[run.id].tags), said[run.id].note] for run in runs]
    for run, row in zip(runs, rows, strict=True):
        row[2] += " (archived)" * said[run.id].archived
    document = [{"id": r.id, "label": r.label, "state": r.status().state, **said[r.id].model_dump()} for r in runs]
    emit(as_json, {"runs": document}, table("runs", ["id", "method", "state", "tags", "note"], rows))


@commands.command("list")
def list_(
    dataset: Annotated[str | None, typer.Argument(help="Only the runs of this dataset.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only those with this tag; may be repeated.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones too.")] = False,
    json: Json = False,
) -> None:
    """Runs with their tags and notes, newest first."""
    from llmesr.runs.record import list_runs

    id = store().find("datasets", dataset).id if dataset else None
    found = list_runs(store(), id, archived=archived)
    _told([run for run in found if set(tag or ()) <= set(run.remarks.tags)], json)


@commands.command()
def tag(
    run: Ref,
    tags: Annotated[list[str], typer.Argument(help="Words such as paper or baseline.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them away instead.")] = False,
    json: Json = False,
) -> None:
    """Give a run tags."""
    found = _find(run)
    found.remark(remove=tags) if remove else found.remark(add=tags)
    _told([found], json)


@commands.command()
def note(
    run: Ref, text: Annotated[str, typer.Argument(help="What to remember of it; empty removes it.")], json: Json = False
) -> None:
    """Write a note to a run, in place of the one it has."""
    found = _find(run)
    found.remark(note=text)
    _told([found], json)


@commands.command()
def archive(
    runs: Annotated[list[str], typer.Argument(help="Runs: ids, starts of ids, or names.", metavar="RUN...")],
    back: Annotated[bool, typer.Option("--back", help="Bring them back.")] = False,
    json: Json = False,
) -> None:
    """Put runs away: they stay, but nothing offers or chooses them."""
    found = [_find(ref) for ref in runs]
    for one in found:
        one.remark(archived=not back)
    _told(found, json)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="runs")
