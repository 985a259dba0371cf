"""An app over a run of which nothing was trained, and requests into it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from serving_doubles import FakeScorer, bare_run, text_vectors

from llmesr.config import ServeConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.runs.record import Run, Status
from llmesr.scoring import scored_run
from llmesr.scoring.scored_run import ScoredRun, Shared
from llmesr.semantic.embed import Embedding
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub, Opener
from llmesr.store import Store


def text_for_all(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random text vectors of items and users, for whatever opens a run of ``dataset``."""
    rng = np.random.default_rng(0)
    users = rng.normal(size=(dataset.n_users, 6)).astype(np.float32)
    ids = dataset.catalogue["item_id"].to_numpy()
    made = Embedding(dataset.manifest, text_vectors(dataset.n_items).numpy()[1:], users, ids)
    monkeypatch.setattr(scored_run, "text_of", lambda *_: made)


def open_fake(
    store: Store, run: Run, device: torch.device | str, seed: int = 0, *, shared: Shared | None = None
) -> ScoredRun:
    dataset_items = load_dataset(store, run.dataset_id).n_items
    return ScoredRun(store, run, device, scorer=FakeScorer(dataset_items, seed=seed), shared=shared)


class Client:
    """Requests into an app whose lifespan is running."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __aenter__(self) -> httpx.AsyncClient:
        self.life = self.app.router.lifespan_context(self.app)
        await self.life.__aenter__()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")
        return self.http

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self.life.__aexit__(kind, error, trace)


async def asked(app: FastAPI, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request for recommendations; an error for any that is none."""
    async with Client(app) as http:
        return dict((await http.post("/recommend", json=body)).raise_for_status().json())


def served(
    store: Store, tiny: Dataset, config: ServeConfig | None = None, opener: Opener = open_fake
) -> tuple[Run, Hub, FastAPI]:
    run = bare_run(store, tiny)
    run.set_status(Status(state="SUCCEEDED"))
    hub = Hub(store, [run.id], open_run=opener)
    return run, hub, create_app(hub, config or ServeConfig(reload_seconds=0))
