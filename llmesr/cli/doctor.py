"""doctor: check the store against its own checksums, and remove what is left over."""

from __future__ import annotations

from typing import Annotated

import typer

from llmesr.cli.output import Json, emit, progress, say, store, table
from llmesr.errors import UserError


def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what killed processes left, and uploads that have grown old.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read no checksums, only manifests.")] = False,
    json: Json = False,
) -> None:
    """Check every artifact: its manifest, the checksum of each file, what it was made from; show what is left over."""
    from llmesr.jobs.queue import Jobs
    from llmesr.jobs.sweep import remains, sweep
    from llmesr.store import examine

    here = store()
    with progress() as listen:
        findings = examine(here, checksums=not quick, progress=listen)
    broken_jobs = Jobs(here).broken()
    swept = sweep(here) if repair else []
    left = [] if repair else remains(here)
    document = {
        "root": str(here.root),
        "findings": [finding.as_dict() for finding in findings],
        "jobs": broken_jobs,
        "left_over": [str(path.relative_to(here.root)) for path in left],
        "removed": [str(path.relative_to(here.root)) for path in swept],
    }
    rows = [[f"{f.kind}/{f.id}", f.what] for f in findings] + [[f"jobs/{id}", why] for id, why in broken_jobs.items()]
    emit(json, document, table(str(here.root), ["artifact", "what is wrong"], rows))
    if left:
        say(f"{len(left)} files and uploads are left over; `llmesr doctor --repair` removes them.")
    if swept:
        say(f"Removed {len(swept)} files and uploads that were left over.")
    damaged = [f for f in findings if f.damaged]
    if damaged or broken_jobs:
        raise UserError(
            f"{len(damaged) + len(broken_jobs)} are damaged. What can be made again is best deleted "
            "(`llmesr delete KIND ID`) and made again; the rest comes back from a copy (`llmesr pull`)."
        )
    say("Everything that is here is whole.")


def register(app: typer.Typer) -> None:
    app.command()(doctor)
