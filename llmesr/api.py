"""The steps of the command line as functions, for notebooks and scripts. The README shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from llmesr.config import EmbedConfig, IngestConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding
from llmesr.store import Store


def ingest(*sources: str | Path, name: str, store: Store | None = None, **settings: Any) -> Dataset:
    """Files (or a folder) of interactions and items -> a dataset. ``settings``: :class:`IngestConfig`."""
    from llmesr.data.ingest import ingest as run

    config = IngestConfig.read(None, name=name, **settings)
    return run([Path(s) for s in sources], config, store or Store())


def embed(dataset: Dataset, *, store: Store | None = None, **settings: Any) -> Embedding:
    """Item and user text -> vectors. ``settings``: :class:`EmbedConfig`."""
    from llmesr.semantic.embed import embed as run

    return run(dataset, EmbedConfig.read(None, **settings), store or Store())


def train(dataset: Dataset, *, embedding: Embedding | None = None, store: Store | None = None, **settings: Any) -> Run:
    """Train and evaluate one method. ``settings``: :class:`RunConfig`, such as ``method="llm-esr"``."""
    from llmesr.training.train import train as run

    return run(dataset, RunConfig.read(None, **settings), store or Store(), embedding=embedding)


def compare(runs: Sequence[Run], *, protocol: str = "full", metric: str = "NDCG@10") -> pd.DataFrame:
    """One row per run, one column per group, on the test part."""
    rows = [r | {"run": run.label} for run in runs for r in run.metrics()]
    frame = pd.DataFrame(rows)
    kept = frame[(frame["protocol"] == protocol) & (frame["metric"] == metric)]
    kept = kept[kept["dimension"].isin(["overall", "item", "user"])]
    return kept.pivot_table(index="run", columns="group", values="value", sort=False)


def recommend(run: Run, history: Sequence[str], *, k: int = 10) -> pd.DataFrame:
    """The best ``k`` items after a history of item ids, oldest first."""
    from llmesr.scoring.recommender import Recommender
    from llmesr.scoring.scored_run import ScoredRun

    served = Recommender(ScoredRun(run.store, run))
    return served.recommend([served.dataset.item(i) for i in history], k=k)
