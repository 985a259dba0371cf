"""The ideas of other systems, each the whole way: trained, listed, explained, served, drawn, asked about new items;
and on a catalogue of three items, of which one has no text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_embedding
from served_app import asked
from tiny_models import encoder_at_hand, write_decoder

from llmesr.config import AllocationConfig, EmbedConfig, FinetuneConfig, IngestConfig, RunConfig, ServeConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.lab.rewritten import can_score_new, check
from llmesr.maps.spaces import available, vectors
from llmesr.runs.record import Run
from llmesr.scoring.allocation.allocate import allocate
from llmesr.scoring.allocation.rankers import by_run
from llmesr.scoring.explanation import explain
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import Embedding, embed
from llmesr.serving.api import create_app
from llmesr.serving.hub import Hub
from llmesr.store import Store
from llmesr.training.finetune import finetune
from llmesr.training.train import train

SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 1, "layers": 1, "batch_size": 64, "max_length": 8}
ROWS: dict[str, dict[str, Any]] = {
    "graph steps": {"method": "llm-init", "graph_steps": 2},
    "codes": {"method": "codes", "codebooks": 2, "codebook_size": 8},
    "codes, residual": {"method": "codes", "codebooks": 2, "codebook_size": 8, "quantisation": "residual"},
    "list of another run": {"method": "id", "teacher": "text-ease"},
    "language": {"method": "language", "lora_rank": 2},
    "generative": {"method": "generative", "codebooks": 2, "codebook_size": 8, "refresh_codes": 1},
    "allocated": {"method": "id"},
}
HISTORY = [3, 9, 21]


def made(label: str, data: Dataset, store: Store, text: Embedding) -> Run:
    """The run of a row, with the runs that it learns from or hands users to."""
    settings = {**SMALL, **ROWS[label]}
    if settings["method"] == "language":
        settings["language_model"] = encoder_at_hand()
    linear = train(data, RunConfig(method="text-ease", max_length=8), store, embedding=text)
    if "teacher" in settings:
        settings["teacher"] = linear.id
    run = train(data, RunConfig.read(None, **settings), store, embedding=text)
    if label != "allocated":
        return run
    first = ScoredRun(store, run)
    found = allocate(first, by_run(ScoredRun(store, linear), first), AllocationConfig(share=0.5))
    assert found.run is not None
    return found.run


@pytest.mark.parametrize("label", ROWS)
def test_the_whole_way(label: str, store: Store) -> None:
    data = make(store, name="shop", users=90, items=40, seed=1)
    run = made(label, data, store, make_embedding(store, data))
    assert set(run.per_user()["protocol"]) == {"full", "uni100"}

    opened = ScoredRun(store, run)
    listed = Recommender(opened).recommend(HISTORY, 5)
    seen = data.catalogue["item_id"].iloc[np.array(HISTORY) - 1].tolist()
    assert listed["item_id"].is_unique
    assert not set(listed["item_id"]) & set(seen)
    [told] = explain(opened, HISTORY, [1])
    assert told.reasons

    app = create_app(Hub(store, [run.id]), ServeConfig(reload_seconds=0))
    items = asyncio.run(asked(app, {"history": seen, "k": 5, "explain": True}))["items"]
    assert [item["item_id"] for item in items] == listed["item_id"].tolist()
    assert all(item["reasons"] for item in items)

    drawn = [space for space in available(store, data) if space.manifest.id == run.id]
    assert len(drawn) == (label != "allocated")  # which is drawn as the runs that it is made of
    assert all(np.isfinite(vectors(store, space, data)).all() for space in drawn)
    if not can_score_new(run):
        with pytest.raises(UserError, match=r"Ask \S+ \(.*\) instead"):
            check(store, run)


@pytest.fixture
def three(store: Store) -> tuple[Dataset, Embedding]:
    """Three items, one of them without text, and twenty users."""
    rows = [(f"u{u}", f"i{(u + step) % 3}", step) for u in range(20) for step in range(4)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    items = pd.DataFrame(
        {"item_id": ["i0", "i1", "i2"], "title": ["red lamp", "blue rug", ""], "brand": ["x", "y", "y"]}
    )
    data = ingest_frames(frame, items, IngestConfig.read(None, name="three", repeats="keep"), store, id="three")
    text = make_embedding(store, data)
    text.item_vectors[2] = 0
    return data, text


@pytest.mark.parametrize("label", ROWS)
def test_a_catalogue_of_three_items(label: str, store: Store, three: tuple[Dataset, Embedding]) -> None:
    data, text = three
    run = made(label, data, store, text)
    assert run.per_user()["rank"].between(1, 3).all()
    assert len(Recommender(ScoredRun(store, run)).recommend([1], 5)) == 2


OBJECTIVES: dict[str, dict[str, Any]] = {
    "attributes": {},
    "co_chosen": {"targets": "hard", "normalise": True, "temperature": 0.1},
    "preferences": {"categories": 4},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_base_without_a_padding_token_is_tuned(objective: str, store: Store, tiny: Dataset, tmp_path: Path) -> None:
    texts = tiny.catalogue[tiny.text_columns].to_numpy().ravel().tolist()
    base = f"hf:{write_decoder(tmp_path / 'llama', texts)}"
    few = {"steps": 2, "evaluate_every": 2, "batch_size": 8, "max_tokens": 24, "lora_rank": 2}
    run = finetune(
        tiny, FinetuneConfig.read(None, objective=objective, base=base, **few, **OBJECTIVES[objective]), store
    )
    tuned = embed(tiny, EmbedConfig(adapter=run.id, max_tokens=24), store)
    assert np.isfinite(tuned.item_vectors).all()
    assert tuned.item_vectors.any(axis=1).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_three_items_are_too_few_to_tune_on_and_that_is_said(
    objective: str, store: Store, three: tuple[Dataset, Embedding]
) -> None:
    with pytest.raises(UserError, match="needs"):
        finetune(
            three[0],
            FinetuneConfig.read(None, objective=objective, base=encoder_at_hand(), **OBJECTIVES[objective]),
            store,
        )
