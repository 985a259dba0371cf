"""findings: the charts and tables that were pinned: listed, shown, exported, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import Json, emit, say, store, table

if TYPE_CHECKING:
    from llmesr.findings import Pinned

commands = typer.Typer(no_args_is_help=True, help="Charts and tables that were pinned in the app, or in Python.")
Ref = Annotated[str, typer.Argument(help="Its id, the start of one, or its title.")]


def _every() -> list[Pinned]:
    from llmesr.findings import every

    return every(store())


def _find(ref: str) -> Pinned:
    from llmesr.findings import find

    return find(ref, store())


@commands.command("list")
def list_(json: Json = False) -> None:
    """All findings in their order."""
    from llmesr.findings import changes, damaged

    bad = damaged(store())
    found = [f for f in _every() if f.id not in bad]
    rows = [
        [f.id, f.title, f.subject.dataset_name, f.manifest.created[:10], "changed since" * bool(changes(f))]
        for f in found
    ]
    emit(
        json,
        {"findings": [f.document() for f in found], "damaged": bad},
        table("findings", ["id", "title", "dataset", "pinned", ""], rows),
    )
    for reason in bad.values():
        say(reason)


@commands.command()
def show(ref: Ref, json: Json = False) -> None:
    """One finding: its note, what its numbers are of, what stands against them, and its table."""
    found = _find(ref)
    numbers = found.table()
    document = found.document() | {
        "figure": found.figure(),
        "table": None if numbers is None else {"columns": [*numbers.columns], "rows": numbers.values.tolist()},
    }
    of = found.subject
    lines = [found.title, *([found.note] if found.note else [])]
    lines += [of.definition] if of.definition else []
    lines += [f"{severity.capitalize()}: {sentence}" for severity, sentence in of.doubts] + document["changes"]
    lines += [f"Runs: {', '.join(of.runs)}"] if of.runs else []
    lines += [f"In the app: {found.link}"] if found.link else []
    lines += [numbers.to_string(index=False, max_rows=40)] if numbers is not None else []
    emit(json, document, "\n\n".join(lines))


@commands.command()
def export(
    target: Annotated[Path, typer.Argument(help="File to write: .html, .pptx or .pdf.")],
    refs: Annotated[
        list[str] | None, typer.Argument(help="Which, by id or title; all of them when none is named.")
    ] = None,
    title: Annotated[str, typer.Option(help="What stands at the top.")] = "Findings",
    json: Json = False,
) -> None:
    """Write findings as one file: a report, slides with editable charts, or a PDF."""
    from llmesr.exports.findings import write

    chosen = [_find(ref) for ref in refs] if refs else _every()
    emit(json, {"written": str(write(chosen, target, title=title))}, f"Wrote {target}")


@commands.command()
def delete(ref: Ref, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a finding; what it shows stays."""
    found = _find(ref)
    if not yes:
        typer.confirm(f"Delete the finding {found.title!r}?", abort=True)
    store().delete("findings", found.id)
    say(f"Deleted {found.id}.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="findings")
