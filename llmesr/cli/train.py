"""train, resume: from a dataset to an evaluated run."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import STOPPED, ConfigFile, Json, Set, emit, progress, say, store, table
from llmesr.cli.together import start_together
from llmesr.config import (
    EVERY_GROUP,
    PRESETS,
    BackboneName,
    MethodName,
    RunConfig,
    check_given,
    parse_overrides,
    preset,
)
from llmesr.errors import UserError

if TYPE_CHECKING:
    from llmesr.processes import Processes
    from llmesr.progress import Progress
    from llmesr.runs.record import Run
    from llmesr.store import Store

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Count = Annotated[
    int, typer.Option("--processes", min=1, help="Processes on this machine that train together, one for each GPU.")
]


def train(
    dataset: Annotated[str, typer.Argument(help="Name or id of an ingested dataset.")],
    method: Annotated[str | None, typer.Option(help=", ".join(typing.get_args(MethodName)))] = None,
    backbone: Annotated[str | None, typer.Option(help=", ".join(typing.get_args(BackboneName)))] = None,
    preset_name: Annotated[str, typer.Option("--preset", help=f"Starting point: {', '.join(PRESETS)}.")] = "default",
    settings: Set = None,
    config: ConfigFile = None,
    embedding: Annotated[str | None, typer.Option(help="Embedding to use; the dataset's newest when absent.")] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Further embeddings of the items (images, sound ...) or `words`, with commas between."),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the new run.")] = None,
    device: Device = "auto",
    count: Count = 1,
    json: Json = False,
) -> int:
    """Train one method on a dataset and evaluate it on validation and test."""
    from llmesr.data.dataset import load_dataset
    from llmesr.runs.record import Run
    from llmesr.semantic.embed import load_embedding
    from llmesr.training.train import resume as go_on
    from llmesr.training.train import train as run_training

    given: dict[str, Any] = parse_overrides(settings or [])
    given |= {k: v for k, v in (("method", method), ("backbone", backbone)) if v is not None}
    given |= {"views": [ref.strip() for ref in views.split(",")]} if views else {}
    wanted = RunConfig.read(config, **given)
    wanted = RunConfig.read(config, **{**preset(preset_name, wanted.backbone), **given}) if not config else wanted
    check_given(wanted, given)
    chosen = store()
    data = load_dataset(chosen, dataset)
    _start(count)
    vectors = load_embedding(chosen, embedding) if embedding else None
    with _together(device) as (processes, listen):
        work = partial(run_training, data, wanted, chosen, embedding=vectors, run_id=run_id)
        # The first process decides: it alone knows that nobody has begun the run since.
        if processes.broadcast(_begun(chosen, run_id)):
            work = partial(go_on, _as_asked(Run(chosen, str(run_id)), data.id, wanted, given))
        work = partial(work, device=device, processes=processes, progress=listen)
        return _finish(work, json, processes.is_main)


def resume(
    run: Annotated[str, typer.Argument(help="A stopped or interrupted run.")],
    device: Device = "auto",
    count: Count = 1,
    json: Json = False,
) -> int:
    """Go on with a run from its last checkpoint, to the same result as if it had never stopped."""
    from llmesr.runs.record import find_run
    from llmesr.training.train import resume as go_on

    found = find_run(store(), run)
    _start(count)
    with _together(device) as (processes, listen):
        work = partial(go_on, found, device=device, processes=processes, progress=listen)
        return _finish(work, json, processes.is_main)


def _start(count: int) -> None:
    """Become several processes when they are wanted and this is not one of them."""
    if count > 1 and "WORLD_SIZE" not in os.environ:
        start_together(count)


def _begun(chosen: Store, run_id: str | None) -> bool:
    """Whether torchrun gives this command again to all processes when one of them is lost (``--max-restarts``), and the
    run that it names is there."""
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS") or 0)
    return restarts > 0 and run_id is not None and chosen.exists("runs", run_id)


def _as_asked(run: Run, dataset: str, wanted: RunConfig, given: dict[str, Any]) -> Run:
    """A run that is gone on with. UserError when it is of another dataset, or of other settings than those ``given``;
    those that name other runs and embeddings stand in it by their ids."""
    names = {"views", "base", "teacher", "alignment_run", "collaborative_run"}
    other = sorted(k for k in given if k not in names and getattr(run.config, k) != getattr(wanted, k))
    other = other if run.dataset_id == dataset else ["dataset", *other]
    if other:
        raise UserError(f"Run {run.id!r} is there already, with another {', '.join(other)}; give another --run-id.")
    return run


@contextmanager
def _together(device: str) -> Iterator[tuple[Processes, Progress]]:
    """The processes that train together, and who listens to this one: only the first speaks."""
    from llmesr.processes import joined
    from llmesr.progress import silent
    from llmesr.training.devices import pick_device

    with joined(pick_device(device)) as processes:
        if not processes.is_main:
            yield processes, silent
            return
        with progress() as listen:
            yield processes, listen


def _finish(work: typing.Callable[[], Run], json: bool, speaks: bool) -> int:
    from llmesr.training.stopping import Stopped

    try:
        run = work()
    except Stopped:
        if speaks:
            say("Stopped; `llmesr resume` continues from here.")
        return STOPPED
    if speaks:
        from llmesr.evaluation import two_stage
        from llmesr.evaluation.candidates import COLUMNS, few_candidates

        if codes := run.manifest.info.get("codes"):
            from llmesr.semantic.codes import describe

            say(describe(codes, run.config.codebook_size))
        if beam := run.manifest.info.get("beam"):
            say(
                f"Ranked by {beam['width']} beams, which find {beam['recall@10']:.1%} of the 10 best items "
                f"(of {beam['users']} users, scored exactly)."
            )
        if (said := two_stage.note(run.manifest)) is not None:
            say(f"Note: {said}")
        for note in few_candidates(run.per_user("test", columns=COLUMNS), ["HR@10"]):
            say(f"Note: {note}")
        emit(json, {"run": run.id}, summary(run))
    return 0


def summary(run: Run) -> Any:
    """The groups of a run under both protocols, for a person."""
    values = {(r["protocol"], r["group"], r["metric"]): r for r in run.metrics()}
    rows = []
    for group in dict.fromkeys(r["group"] for r in run.metrics() if r["group"] in EVERY_GROUP):
        cells = [values[(p, group, m)]["value"] for p in ("full", "uni100") for m in ("HR@10", "NDCG@10")]
        users = values[("full", group, "HR@10")]["users"]
        rows.append([group, *(f"{c:.4f}" if c == c else "-" for c in cells), f"{users:,}"])
    columns = ["group", "full HR@10", "full NDCG@10", "uni100 HR@10", "uni100 NDCG@10", "users"]
    return table(f"{run.label}  {run.id}", columns, rows)


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(resume)
