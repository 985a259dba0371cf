"""jobs: the queue of long work, from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import Json, emit, out, say, store, table

if TYPE_CHECKING:
    from llmesr.jobs.record import Job

JobId = Annotated[str, typer.Argument(help="Job: id or the start of one.", metavar="JOB")]
commands = typer.Typer(
    no_args_is_help=True, help="The queue of long work: submit, list, show, stop, resume, retry, log."
)


@commands.command()
def submit(
    command: Annotated[list[str], typer.Argument(help="After --: a command without `llmesr`, such as -- embed shop.")],
    needs: Annotated[
        list[str] | None, typer.Option("--needs", help="KIND/ID the command reads; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Queue a command; it runs here or on the cluster LLMESR_ENGINE names, and outlives this terminal."""
    from llmesr.jobs.plans import typed
    from llmesr.jobs.queue import Jobs

    step = typed(command)
    found = Jobs(store()).submit_steps([step], kind=step.verb, label=step.label, parents=needs or [])
    emit(json, {"job": found.id, "state": found.state}, f"{found.id} is {found.state}.")


@commands.command("list")
def list_(json: Json = False) -> None:
    """Jobs, newest first."""
    from llmesr.jobs.queue import Jobs

    jobs = Jobs(store())
    jobs.reconcile()
    found = jobs.list()
    rows = [[j.id, j.label, j.state, f"{j.fraction:.0%}", j.record.created[:19].replace("T", " ")] for j in found]
    rows += [[id, "damaged", why, "", ""] for id, why in jobs.broken().items()]
    documents = [_document(job) for job in found]
    emit(json, {"jobs": documents}, table("jobs", ["job", "what", "state", "done", "created"], rows))


@commands.command()
def show(job: JobId, json: Json = False) -> None:
    """One job: its steps, where it stands and why it ended."""
    from llmesr.jobs.plans import command_line
    from llmesr.jobs.queue import Jobs

    jobs = Jobs(store())
    jobs.reconcile()
    found = jobs.get(job)
    rows = []
    for number, step in enumerate(found.record.steps):
        state = "done" if number < found.status.step else found.state if number == found.status.step else "waiting"
        seconds = found.status.seconds[number] if number < len(found.status.seconds) else None
        rows.append([step.label, state, f"{seconds:.1f} s" if seconds is not None else "", command_line(step)])
    emit(json, _document(found), table(f"{found.label}: {found.state}", ["step", "state", "took", "command"], rows))
    if found.status.message and not json:
        say(found.status.message)


@commands.command()
def stop(
    job: JobId,
    force: Annotated[bool, typer.Option("--force", help="Kill it without waiting for a checkpoint.")] = False,
    json: Json = False,
) -> None:
    """Stop a job; training keeps a checkpoint."""
    from llmesr.jobs.queue import Jobs

    found = Jobs(store()).stop(job, force=force)
    waiting = "Killed." if force else "Asked to stop; it ends after its checkpoint."
    said = waiting if found.active else "Stopped."
    emit(json, {"job": found.id, "state": found.state}, said)


@commands.command()
def resume(job: JobId, json: Json = False) -> None:
    """Go on with a stopped or failed job at the step where it ended."""
    from llmesr.jobs.queue import Jobs

    found = Jobs(store()).resume(job)
    emit(json, {"job": found.id, "state": found.state}, f"{found.id} is {found.state}.")


@commands.command()
def retry(job: JobId, json: Json = False) -> None:
    """Do a whole job again as a new one, with new runs."""
    from llmesr.jobs.queue import Jobs

    found = Jobs(store()).retry(job)
    emit(json, {"job": found.id, "state": found.state}, f"{found.id} is {found.state}.")


@commands.command()
def log(job: JobId) -> None:
    """The end of a job's log."""
    from llmesr.jobs.queue import Jobs

    out.print(Jobs(store()).get(job).log(), markup=False, highlight=False, soft_wrap=True)


def _document(job: Job) -> dict[str, Any]:
    steps = [{**step.model_dump(), "command": step.command} for step in job.record.steps]
    return {**job.record.model_dump(), "steps": steps, "status": job.status.model_dump(), "done": job.fraction}


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="jobs")
