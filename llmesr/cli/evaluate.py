"""evaluate, compare: from runs to metrics by group, with intervals, tests and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmesr.cli import metric_tables as tables
from llmesr.cli.output import Json, emit, progress, say, store
from llmesr.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from llmesr.data.dataset import Dataset
    from llmesr.data.groups import Thresholds
    from llmesr.runs.record import Run
    from llmesr.store import Store

ProtocolChoice = Literal["full", "uni100"]
PartChoice = Literal["valid", "test"]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="HR@K, NDCG@K or MRR@K; may be repeated. [default: HR@10 NDCG@10]")
]
Part = Annotated[PartChoice, typer.Option(help="Part of the data the ranks come from.")]
TailItem = Annotated[int | None, typer.Option(min=1, help="Items with fewer training interactions are tail.")]
TailUser = Annotated[int | None, typer.Option(min=1, help="Users with fewer training interactions are tail.")]
AllGroups = Annotated[bool, typer.Option("--all-groups", help="Also the 2 x 2 cells and five buckets each.")]
Beyond = Annotated[bool, typer.Option("--beyond", help="Also coverage, Gini, popularity, novelty and diversity.")]
DEFAULT_METRICS = ["HR@10", "NDCG@10"]
EVERY_METRIC = [f"{m}@{k}" for m in ("HR", "NDCG", "MRR") for k in (5, 10, 20)]


def evaluate(
    run: Annotated[str | None, typer.Argument(help="Run to evaluate again.")] = None,
    ranking: Annotated[
        Path | None, typer.Option(help="Instead of a run: a Parquet or CSV of user, item, score made elsewhere.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="With --ranking: the dataset it is about.")] = None,
    name: Annotated[str | None, typer.Option(help="With --ranking: the name of the run it is stored as.")] = None,
    protocol: Annotated[ProtocolChoice | None, typer.Option(help="Show one protocol only.")] = None,
    metric: Metrics = None,
    tail_item: TailItem = None,
    tail_user: TailUser = None,
    all_groups: AllGroups = False,
    beyond: Beyond = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Json = False,
) -> None:
    """Rank every held-out item again, store the ranks with the run, and show the metrics of the test part."""
    from llmesr.evaluation import statistics, two_stage
    from llmesr.evaluation.candidates import few_candidates

    chosen = store()
    if (run is None) == (ranking is None):
        raise UserError("Give a run, or --ranking FILE with --dataset NAME.")
    if ranking is not None:
        if dataset is None:
            raise UserError("--ranking needs --dataset NAME: the dataset its users and items belong to.")
        found = _evaluate_ranking(chosen, ranking, dataset, name)
    else:
        found = _evaluate_run(chosen, str(run), device)
    data = _dataset(chosen, found)
    thresholds = _thresholds(data, tail_item, tail_user)
    frames, only = {found.id: [found.per_user("test")]}, {found.id: found}
    rows: list[dict[str, Any]] = []
    human: list[Any] = []
    for asked in [protocol] if protocol else ["full", "uni100"]:
        options: dict[str, Any] = {"protocol": asked, "groups": "all" if all_groups else "named"}
        made = statistics.summary(frames, thresholds, metrics=metric or EVERY_METRIC, **options)
        rows += tables.rows(made, only, asked, "test")
        human.append(tables.one_run(made, metric or [*DEFAULT_METRICS, "MRR@10"], f"{found.label} {found.id}: {asked}"))
    if beyond:
        extra = _beyond(chosen, data, thresholds, only)
        rows += tables.rows(extra, only, "full", "test")
        human.append(tables.beyond(extra))
    if (said := two_stage.note(found.manifest)) is not None:
        say(f"Note: {said}")
    for note in few_candidates(frames[found.id][0], metric or EVERY_METRIC):
        say(f"Note: {note}")
    split = data.split_config
    emit(json, {"rows": rows, "split": split.model_dump()}, *human, split.describe(), thresholds.describe())


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs of one dataset; the first is the baseline.")],
    protocol: Annotated[ProtocolChoice, typer.Option(help="full ranking, or 100 sampled negatives.")] = "full",
    metric: Metrics = None,
    baseline: Annotated[str | None, typer.Option(help="Compare against this run instead of the first.")] = None,
    part: Part = "test",
    tail_item: TailItem = None,
    tail_user: TailUser = None,
    all_groups: AllGroups = False,
    beyond: Beyond = False,
    json: Json = False,
) -> None:
    """Runs side by side by group: 95% intervals, paired tests, verdicts. Seeds of one configuration are averaged."""
    from llmesr.evaluation.comparison import compare_runs
    from llmesr.runs.record import find_run

    chosen, metrics = store(), metric or DEFAULT_METRICS
    first = find_run(chosen, baseline) if baseline else None
    found = compare_runs(
        chosen,
        [find_run(chosen, ref) for ref in runs],
        baseline=first,
        metrics=metrics,
        protocol=protocol,
        part=part,
        groups="all" if all_groups else "named",
        thresholds=_thresholds(_dataset(chosen, first or find_run(chosen, runs[0])), tail_item, tail_user),
    )
    document = tables.document(found)
    human = tables.comparison(found)
    if beyond:
        data, by_id = _dataset(chosen, found.baseline.runs[0]), {r.id: r for c in found.chosen for r in c.runs}
        extra = _beyond(chosen, data, found.thresholds, by_id)
        document["rows"] += tables.rows(extra, by_id, "full", "test")
        belongs = {id: c.name for c in found.chosen for id in c.ids}
        seeds = extra.assign(run=extra["run"].map(belongs)).groupby(["run", "group", "metric"], sort=False)
        human.append(tables.beyond(seeds["value"].mean().reset_index()))
        if len(found.chosen) > 1:
            from llmesr.evaluation.beyond import overlap

            document["overlap"] = tables.plain(overlap({c.name: c.runs[0].top_items() for c in found.chosen}))
            human.append(tables.overlap(document["overlap"]))
    split = _dataset(chosen, found.baseline.runs[0]).split_config
    document["split"] = split.model_dump()
    emit(json, document, *human, *tables.warnings(found.summary), split.describe(), found.thresholds.describe())


def _evaluate_run(chosen: Store, ref: str, device: str) -> Run:
    from llmesr.runs.record import find_run
    from llmesr.scoring.again import evaluate_again

    with progress() as listen:
        return evaluate_again(find_run(chosen, ref), device, listen)


def _evaluate_ranking(chosen: Store, file: Path, ref: str, name: str | None) -> Run:
    from llmesr.data.dataset import load_dataset
    from llmesr.evaluation.external import register_ranking

    with progress() as listen:
        run = register_ranking(chosen, file, load_dataset(chosen, ref), name=name, progress=listen)
    for note in run.manifest.info["notes"]:
        say(f"Note: {note}")
    return run


def _dataset(chosen: Store, run: Run) -> Dataset:
    from llmesr.data.dataset import load_dataset

    return load_dataset(chosen, run.dataset_id)


def _thresholds(data: Dataset, item: int | None, user: int | None) -> Thresholds:
    given = {"item": item, "user": user}
    return data.thresholds.model_copy(update={k: v for k, v in given.items() if v is not None})


def _beyond(chosen: Store, data: Dataset, thresholds: Thresholds, runs: dict[str, Run]) -> pd.DataFrame:
    """Measures beyond accuracy, run by run. Diversity needs text vectors."""
    import pandas as pd

    from llmesr.evaluation.beyond import beyond_table
    from llmesr.scoring.scored_run import text_of

    embedding = next((e for r in runs.values() if (e := text_of(chosen, r, data))), None)
    vectors = None if embedding is None else embedding.padded()
    found = [beyond_table(r.top_items(), data, thresholds, vectors=vectors).assign(run=id) for id, r in runs.items()]
    return pd.concat(found, ignore_index=True)


def register(app: typer.Typer) -> None:
    app.command()(evaluate)
    app.command()(compare)
