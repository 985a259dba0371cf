"""blend: the sum of separately trained runs."""

from __future__ import annotations

from typing import Annotated

import typer

from llmesr.cli.output import Json, emit, progress, store
from llmesr.cli.train import Device, summary


def blend(
    runs: Annotated[list[str], typer.Argument(help="Runs of one dataset, two or more.", metavar="RUN RUN [...]")],
    emphasis: Annotated[float, typer.Option(min=0, help="How much more tail items count in the fit: 1 + this.")] = 0.5,
    trees: Annotated[bool, typer.Option("--trees", help="Let trees weigh once more what the runs say.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Add up runs that were trained apart, with weights fitted on validation; the sum is a run of its own."""
    from llmesr.runs.record import find_run
    from llmesr.scoring.blend import blend as make
    from llmesr.training.devices import pick_device

    chosen = store()
    found = [find_run(chosen, run) for run in runs]
    with progress() as listen:
        made = make(found, emphasis=emphasis, trees=trees, device=pick_device(device), progress=listen)
    emit(json, {"run": made.id, **made.manifest.info["blend"]}, summary(made))


def register(app: typer.Typer) -> None:
    app.command()(blend)
