"""doctor: check the store against its own checksums, and remove what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmesr.cli.output import Json, emit, progress, say, store, table
from llmesr.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmesr.progress import Progress
    from llmesr.repair import Outcome
    from llmesr.store import Finding, Store


def doctor(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend what is damaged as far as that can be, putting the damaged aside; remove what killed processes "
            "left, and uploads that have grown old.",
        ),
    ] = False,
    source: Annotated[
        str | None, typer.Option("--from", help="With --repair: URL where `llmesr push` has left whole copies.")
    ] = None,
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
        mended = _mend(here, findings, source, listen) if repair else []
    whole = {(outcome.kind, outcome.id) for outcome in mended if outcome.whole}
    broken_jobs = Jobs(here).broken()
    swept = sweep(here) if repair else []
    left = [] if repair else remains(here)
    document = {
        "root": str(here.root),
        "findings": [finding.as_dict() for finding in findings],
        "jobs": broken_jobs,
        "repaired": [outcome.as_dict() for outcome in mended],
        "left_over": [str(path.relative_to(here.root)) for path in left],
        "removed": [str(path.relative_to(here.root)) for path in swept],
    }
    rows = [[f"{f.kind}/{f.id}", f.what] for f in findings] + [[f"jobs/{id}", why] for id, why in broken_jobs.items()]
    emit(json, document, table(str(here.root), ["artifact", "what is wrong"], rows))
    for outcome in mended:
        say(f"{outcome.kind}/{outcome.id}: {outcome.what}")
    if left:
        say(f"{len(left)} files and uploads are left over; `llmesr doctor --repair` removes them.")
    if swept:
        say(f"Removed {len(swept)} files and uploads that were left over.")
    damaged = {(f.kind, f.id) for f in findings if f.damaged} - whole
    if repair and damaged:
        raise UserError(f"{len(damaged)} could not be made whole; what to do about each is said above.")
    if damaged or broken_jobs:
        raise UserError(
            f"{len(damaged) + len(broken_jobs)} are damaged. `llmesr doctor --repair` mends what can be mended and "
            "puts the rest aside; with --from URL it brings whole ones back from a copy."
        )
    say("Everything that is here is whole.")


def _mend(here: Store, findings: Sequence[Finding], source: str | None, listen: Progress) -> list[Outcome]:
    from llmesr.jobs.queue import Jobs
    from llmesr.remote import Remote
    from llmesr.repair import put_jobs_aside, repair

    return [*repair(here, findings, Remote(source) if source else None, listen), *put_jobs_aside(Jobs(here))]


def register(app: typer.Typer) -> None:
    app.command()(doctor)
