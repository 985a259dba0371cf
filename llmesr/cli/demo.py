"""demo: from nothing to a comparison that can be defended, on MovieLens 100K or a generated shop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from llmesr.cli.output import Json, emit, progress, say, store, table
from llmesr.config import GROUPS, EmbedConfig, IngestConfig, RunConfig, has_backbone
from llmesr.errors import UserError
from llmesr.jobs.plans import DEMOS, defended
from llmesr.progress import Progress
from llmesr.store import Store

if TYPE_CHECKING:
    from llmesr.data.dataset import Dataset
    from llmesr.runs.record import Run
    from llmesr.semantic.embed import Embedding

NAME = DEMOS["dataset"]
USERS = 1_200
"""The generated shop: small enough that three seeds of everything train out in minutes."""
FAST: dict[str, Any] = {"embedding_size": 32, "layers": 1, "batch_size": 256, "learning_rate": 0.003, "patience": 6}
"""Settings under which small data is trained out soon; every run ends by early stopping."""


def runs() -> list[RunConfig]:
    """The good defaults and text alone, small and fast: what needs no training comes first."""
    return [RunConfig(method="semantic-knn"), *defended(FAST)]


def demo(
    synthetic: Annotated[bool, typer.Option(help="Use the generated marketplace and no network.")] = False,
    users: Annotated[int, typer.Option(min=100, help="Users of the generated marketplace.")] = USERS,
    json: Json = False,
) -> None:
    """Prepare the demo: MovieLens 100K, its text vectors, and every method with its seeds, trained out. What is there
    already is reused."""
    from llmesr.semantic.embed import embed

    where = store()
    started = time.perf_counter()
    with progress() as listen:
        data = _dataset(where, synthetic, users, listen)
        vectors = embed(data, EmbedConfig(), where, progress=listen)
        made = [_run(data, vectors, config, where, listen) for config in runs()]
    say(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}")
    say(f"Ready after {time.perf_counter() - started:.0f} seconds. `llmesr app` shows it.")
    if json:
        emit(json, {"id": data.id, "runs": [run.id for run in made]})
        return
    for protocol, metric in (("full", "NDCG@10"), ("uni100", "HR@10")):
        emit(json, None, _groups(made, protocol, metric))


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
    return make(where, name=DEMOS["generated"], users=users, items=users * 2 // 5, seed=7)


def _run(data: Dataset, vectors: Embedding, config: RunConfig, where: Store, listen: Progress) -> Run:
    from llmesr.runs.record import list_runs
    from llmesr.training.train import resume, train

    for run in list_runs(where, data.id, archived=True):
        if run.config == config and run.manifest.parent("embeddings") in (None, vectors.id):
            return run if run.status().state == "SUCCEEDED" else resume(run, progress=listen)
    return train(data, config, where, embedding=vectors, progress=listen)


def _groups(runs: list[Run], protocol: str, metric: str) -> Table:
    """Runs down, groups across."""
    body = []
    for run in runs:
        wanted = [r for r in run.metrics() if (r["protocol"], r["metric"]) == (protocol, metric)]
        values = {r["group"]: r["value"] for r in wanted}
        seed = f" seed {run.manifest.seed}" if has_backbone(run.config.method) else ""
        body.append([run.label + seed, *(f"{values[group]:.4f}" for group in GROUPS)])
    return table(f"{metric}, {protocol}, test", ["run", *GROUPS], body)


def register(app: typer.Typer) -> None:
    app.command()(demo)
