"""best: the best recommender of a dataset within a time."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmesr.cli.output import STOPPED, Json, emit, progress, say, store, table
from llmesr.cli.train import Device
from llmesr.config import BestConfig
from llmesr.errors import UserError
from llmesr.prose import duration

if TYPE_CHECKING:
    from llmesr.data.dataset import Dataset
    from llmesr.runs.contest import Contest

Objective = Literal["overall", "balanced"]
COLUMNS = ("full/Overall/NDCG@10", "uni100/Overall/NDCG@10")


def best(
    dataset: Annotated[
        str | None, typer.Argument(help="Name or id of an ingested dataset.", metavar="DATASET", show_default=False)
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for all of it; 10 when absent.")] = None,
    objective: Annotated[
        Objective | None, typer.Option(help=f"What counts: {' or '.join(typing.get_args(Objective))}.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the trained candidates; 42 when absent.")] = None,
    embedding: Annotated[str | None, typer.Option(help="Embedding to use; the dataset's newest when absent.")] = None,
    resume: Annotated[str | None, typer.Option(help="Continue this stopped or interrupted contest.")] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="Id of the new contest; its runs' ids begin so.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Train, blend and tune what the time allows, choose the best on validation, and say why."""
    from llmesr.contest.find import best as find
    from llmesr.contest.find import resume_best
    from llmesr.data.dataset import load_dataset
    from llmesr.runs.contest import find_contest
    from llmesr.semantic.embed import load_embedding
    from llmesr.training.stopping import Stopped

    given = {"minutes": minutes, "objective": objective, "seed": seed}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        if resume is not None:
            if dataset or embedding or given:
                raise UserError("--resume goes on with the settings the contest has; give nothing else.")
            with progress() as listen:
                made = resume_best(find_contest(store(), resume), device=device, progress=listen)
        elif dataset is None:
            raise UserError("Name the dataset: `llmesr best DATASET`.")
        else:
            config, data = BestConfig.read(None, **given), load_dataset(store(), dataset)
            vectors = load_embedding(store(), embedding, data) if embedding else None
            _announce(data, config)
            with progress() as listen:
                made = find(data, config, store(), embedding=vectors, contest_id=run_id, device=device, progress=listen)
    except Stopped:
        say("Stopped; `llmesr best --resume ID` goes on with the time that is left.")
        return STOPPED
    _report(made, json)
    return 0


def _announce(data: Dataset, config: BestConfig) -> None:
    """What will be tried, and how long each is thought to take."""
    from llmesr.contest.find import planned

    plan = planned(data, config, store())
    tried = ", ".join(f"{candidate.name} {duration(seconds)}" for candidate, seconds, fits in plan if fits)
    say(f"In {duration(60 * config.minutes)}, about: {tried}.")
    if late := [candidate.name for candidate, _, fits in plan if not fits]:
        say(f"Likely too long for that: {', '.join(late)}.")


def _report(made: Contest, json: bool) -> None:
    info, entries = made.manifest.info, made.entries()
    rows = [_row(entry, info) for entry in entries]
    say(info["criterion"])
    for entry in entries:
        if entry["reason"]:
            say(f"{entry['candidate']} ({entry['state']}): {entry['reason']}.")
    say(f"Best: {info['candidate']}, run {info['run']}")
    columns = ["candidate", "full NDCG@10", "uni100 NDCG@10", "share of the best", "seconds", ""]
    emit(json, {"contest": made.id, **info, "candidates": entries}, table(f"{made.id}: validation", columns, rows))


def _row(entry: dict[str, Any], info: dict[str, Any]) -> list[str]:
    cells = [f"{entry['metrics'][name]:.4f}" if name in entry["metrics"] else "–" for name in COLUMNS]
    share = info["shares"].get(entry["candidate"])
    chosen = "chosen" if entry["candidate"] == info["candidate"] else "" if share is not None else entry["state"]
    return [entry["candidate"], *cells, "–" if share is None else f"{share:.1%}", f"{entry['seconds']:.0f}", chosen]


def register(app: typer.Typer) -> None:
    app.command()(best)
