"""demo: from nothing to four evaluated runs on MovieLens 100K."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from llmesr.cli.output import Json, emit, progress, say, store, table
from llmesr.config import GROUPS, EmbedConfig, IngestConfig, RunConfig
from llmesr.errors import UserError
from llmesr.progress import Progress
from llmesr.store import Store

if TYPE_CHECKING:
    from llmesr.data.dataset import Dataset
    from llmesr.runs.record import Run
    from llmesr.semantic.embed import Embedding

NAME = "movielens-100k"
RUNS: list[dict[str, Any]] = [
    {"method": "popularity"},
    {"method": "semantic-knn"},
    {"method": "ease"},
    {"method": "text-ease"},
    {"method": "id", "backbone": "sasrec", "epochs": 15},
    {"method": "llm-esr", "backbone": "sasrec", "epochs": 15},
]
"""Fifteen epochs are within a few percent of the best, and nobody waits longer than five minutes."""


def demo(
    synthetic: Annotated[bool, typer.Option(help="Use the generated marketplace and no network.")] = False,
    users: Annotated[int, typer.Option(min=100, help="Users of the generated marketplace.")] = 2_000,
    json: Json = False,
) -> None:
    """Prepare the demo: MovieLens 100K, its text vectors and six runs. What is there already is reused."""
    from llmesr.semantic.embed import embed

    where = store()
    started = time.perf_counter()
    with progress() as listen:
        data = _dataset(where, synthetic, users, listen)
        vectors = embed(data, EmbedConfig(), where, progress=listen)
        runs = [_run(data, vectors, settings, where, listen) for settings in RUNS]
    say(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}")
    say(f"Ready after {time.perf_counter() - started:.0f} seconds. `llmesr app` shows it.")
    if json:
        emit(json, {"id": data.id, "runs": [run.id for run in runs]})
        return
    for protocol, metric in (("full", "NDCG@10"), ("uni100", "HR@10")):
        emit(json, None, _groups(runs, protocol, metric))


def _dataset(where: Store, synthetic: bool, users: int, listen: Progress) -> Dataset:
    from llmesr.data.dataset import load_dataset
    from llmesr.data.ingest import ingest
    from llmesr.data.known import get
    from llmesr.data.synthetic import make

    if any(m.name == NAME for m in where.list("datasets")) and not synthetic:
        return load_dataset(where, NAME)
    if not synthetic:
        try:
            files = get("ml-100k", where.work_folder("downloads") / "ml-100k", progress=listen)
            return ingest(files, IngestConfig(name=NAME, k_core=5), where, progress=listen)
        except UserError as error:
            say(f"{error}\nUsing a generated marketplace instead.")
    return make(where, name="synthetic", users=users, items=users * 2 // 5, seed=7)


def _run(data: Dataset, vectors: Embedding, settings: dict[str, Any], where: Store, listen: Progress) -> Run:
    from llmesr.runs.record import list_runs
    from llmesr.training.train import resume, train

    config = RunConfig.read(None, **settings)
    for run in list_runs(where, data.id):
        if run.config == config and run.manifest.parent("embeddings") in (None, vectors.id):
            return run if run.status().state == "SUCCEEDED" else resume(run, progress=listen)
    return train(data, config, where, embedding=vectors, progress=listen)


def _groups(runs: list[Run], protocol: str, metric: str) -> Table:
    """Runs down, groups across."""
    body = []
    for run in runs:
        wanted = [r for r in run.metrics() if (r["protocol"], r["metric"]) == (protocol, metric)]
        values = {r["group"]: r["value"] for r in wanted}
        body.append([run.label, *(f"{values[group]:.4f}" for group in GROUPS)])
    return table(f"{metric}, {protocol}, test", ["run", *GROUPS], body)


def register(app: typer.Typer) -> None:
    app.command()(demo)
