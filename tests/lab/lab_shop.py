"""A small shop with real text vectors and a run of every kind that reads text, made once per test session."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset

from llmesr.config import EmbedConfig, RunConfig, SplitConfig
from llmesr.data.splitting import resplit
from llmesr.runs.record import Run
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

SMALL: dict[str, Any] = {"epochs": 1, "embedding_size": 8, "layers": 1}
METHODS: dict[str, dict[str, Any]] = {
    "semantic-knn": {},
    "words": {"method": "semantic-knn", "compared": "words", "whitening": 0.5, "pooling": "sum"},
    "attributes": {"method": "semantic-knn", "compared": "attributes"},
    "ease": {},
    "text-ease": {},
    "id": SMALL,
    "adapter": SMALL,
    "llm-esr": SMALL,
    "llmemb": {**SMALL, "alignment_weight": 0.0, "backbone": "bert4rec"},
    "language": {**SMALL, "inject": True},
}


@functools.cache
def made() -> tuple[Path, dict[str, str]]:
    """The root, and the runs by what they are: the methods, ``local`` (text-ease on each item's strongest others),
    ``blend``, ``base`` (a model on a linear one), ``policy`` (a content term on a run without text), and ``later``
    (text-ease on the same data cut in time)."""
    root = Path(tempfile.mkdtemp(prefix="llmesr-lab-"))
    store = Store(root)
    data = make_dataset(store, users=150, items=60, seed=3)
    embed(data, EmbedConfig(), store)
    runs = {m: train(data, RunConfig.read(None, **{"method": m, **s}), store, device="cpu") for m, s in METHODS.items()}
    local = RunConfig(method="text-ease", solver="local", item_neighbours=12)
    runs["local"] = train(data, local, store, device="cpu")
    runs["blend"] = blend([runs["text-ease"], runs["id"], runs["ease"]])
    on_base = RunConfig.read(None, method="adapter", base=runs["text-ease"].id, **SMALL)
    runs["base"] = train(data, on_base, store, device="cpu")
    runs["policy"] = derive(ScoredRun(store, runs["id"]), ScoringPolicy(gamma=3.0, linear=0.5))
    cut = SplitConfig.read(None, kind="temporal", valid_from=0.15, test_from=0.4, targets="all")
    temporal = resplit(data, cut, store, name="later")
    embed(temporal, EmbedConfig(), store)
    runs["later"] = train(temporal, RunConfig(method="text-ease"), store, device="cpu")
    return root, {name: run.id for name, run in runs.items()}


READING = (
    *("semantic-knn", "words", "text-ease", "local", "adapter", "llm-esr", "llmemb", "language", "blend", "base"),
    "policy",
)
"""Those that score an item nobody chose yet."""


@pytest.fixture(scope="session", autouse=True)
def _swept() -> Iterator[None]:
    yield
    if made.cache_info().currsize:
        shutil.rmtree(made()[0])


def opened(name: str) -> ScoredRun:
    """One of the runs, opened for scoring; shared tests must not damage it."""
    root, runs = made()
    store = Store(root)
    return ScoredRun(store, Run(store, runs[name]))
