"""A small shop with item texts for browser tests, trained and served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from browser.browsing import Server, serving
from factories import make_dataset

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.runs.record import Run
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

SMALL = {"epochs": 2, "embedding_size": 8, "layers": 1, "max_length": 10}


class Shop(NamedTuple):
    """The app over a shop with text vectors of the bundled model and a run of each method."""

    server: Server
    dataset: Dataset
    runs: list[Run]


@contextmanager
def text_shop(root: Path, *methods: str) -> Iterator[Shop]:
    """200 users, 60 items; a method that learns does so for two epochs."""
    store = Store(root)
    dataset = make_dataset(store, users=200, items=60, seed=3)
    texts = embed(dataset, EmbedConfig(), store)
    runs = []
    for method in methods:
        settings: dict[str, Any] = SMALL if method == "id" else {}
        config = RunConfig.read(None, method=method, **settings)
        runs.append(train(dataset, config, store, embedding=texts, device="cpu"))
    with serving(store, root / "server.log") as server:
        yield Shop(server, dataset, runs)
