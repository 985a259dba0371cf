"""search: the settings of a method that are best on validation."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmesr.cli.output import STOPPED, Json, Set, emit, progress, say, store, table
from llmesr.cli.train import Device
from llmesr.config import BackboneName, MethodName, SearchConfig, SearchObjective, parse_overrides
from llmesr.errors import UserError

if TYPE_CHECKING:
    from llmesr.runs.search import Search


def search(
    dataset: Annotated[
        str | None, typer.Argument(help="Name or id of an ingested dataset.", metavar="DATASET", show_default=False)
    ] = None,
    method: Annotated[str | None, typer.Option(help=", ".join(typing.get_args(MethodName)))] = None,
    backbone: Annotated[str | None, typer.Option(help=", ".join(typing.get_args(BackboneName)))] = None,
    trials: Annotated[int | None, typer.Option(help="Combinations to try; 20 when absent.")] = None,
    objective: Annotated[str | None, typer.Option(help=", ".join(typing.get_args(SearchObjective)))] = None,
    space: Annotated[
        Path | None, typer.Option(help="YAML: setting -> list of choices, or low, high and log.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Starting point of the settings not searched.")] = None,
    settings: Set = None,
    embedding: Annotated[str | None, typer.Option(help="Embedding to use; the dataset's newest when absent.")] = None,
    resume: Annotated[str | None, typer.Option(help="Continue this stopped or interrupted search.")] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="Id of the new search; its runs' ids begin so.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Search for the settings that are best on validation. --set fixes a setting of the runs, or is one of the
    search: metric, protocol, epochs, pruning, random_trials, warmup, seed."""
    from llmesr.data.dataset import load_dataset
    from llmesr.runs.search import find_search
    from llmesr.semantic.embed import load_embedding
    from llmesr.training.search import resume_search
    from llmesr.training.search import search as start
    from llmesr.training.space import read_space
    from llmesr.training.stopping import Stopped

    own = {"trials": trials, "objective": objective, "preset": preset}
    fixed = {"method": method, "backbone": backbone}
    given = parse_overrides(settings or [])
    try:
        if resume is not None:
            if dataset or space or given or embedding or any(v is not None for v in {**own, **fixed}.values()):
                raise UserError("--resume goes on with the settings the search has; give nothing else.")
            with progress() as listen:
                made = resume_search(find_search(store(), resume), device=device, progress=listen)
        elif dataset is None:
            raise UserError("Name the dataset to search on: `llmesr search DATASET`.")
        else:
            config = _config(own, fixed, given, {} if space is None else read_space(space))
            data = load_dataset(store(), dataset)
            vectors = load_embedding(store(), embedding) if embedding else None
            with progress() as listen:
                made = start(data, config, store(), embedding=vectors, search_id=run_id, device=device, progress=listen)
    except Stopped:
        say("Stopped; `llmesr search --resume ID` continues with the trial it was at.")
        return STOPPED
    _report(made, json)
    return 0


def _config(own: dict[str, Any], fixed: dict[str, Any], given: dict[str, Any], space: dict[str, Any]) -> SearchConfig:
    """``--set`` names settings of the search and settings of its runs."""
    of_search = {k: v for k, v in given.items() if k in SearchConfig.model_fields and k not in ("fixed", "space")}
    of_runs = {k: v for k, v in given.items() if k not in of_search}
    named = {k: v for k, v in own.items() if v is not None}
    held = {**of_runs, **{k: v for k, v in fixed.items() if v is not None}}
    return SearchConfig.read(None, **{**of_search, **named, "fixed": held, "space": space})


def _report(made: Search, json: bool) -> None:
    info, config, trials = made.manifest.info, made.config, made.trials()
    rows = [
        [
            str(t["trial"]),
            t["state"],
            _short(t["value"]),
            ", ".join(f"{n} {_short(v)}" for n, v in t["settings"].items()),
        ]
        for t in sorted(trials, key=lambda t: -(t["value"] or 0.0))
    ]
    for trial in trials:
        if trial["reason"]:
            say(f"Trial {trial['trial']} {trial['state']}: {trial['reason']}")
    if info["importance"]:
        say(
            "Settings that mattered most: "
            + ", ".join(f"{name} {share:.0%}" for name, share in info["importance"].items())
        )
    say(f"Value: {config.objective} {config.metric} ({config.protocol}) on validation.")
    say(f"Best: run {info['run']}, {info['value']:.4f}")
    shown = ("trial", "state", "value", "settings", "run", "reason", "seconds")
    document = {"search": made.id, **info, "trials": [{k: t[k] for k in shown} for t in trials]}
    emit(json, document, table(made.id, ["trial", "state", "value", "settings"], rows))


def _short(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def register(app: typer.Typer) -> None:
    app.command()(search)
