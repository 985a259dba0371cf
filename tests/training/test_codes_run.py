"""Runs whose items are made of codes: what is reported, opened again, and what every setting of them changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_embedding
from safetensors.torch import load_file

from llmesr.config import IngestConfig, RunConfig, SplitConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.splitting import resplit
from llmesr.runs.record import MODEL, Run
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import train

SMALL: dict[str, Any] = {"embedding_size": 8, "layers": 1, "epochs": 2, "batch_size": 16, "max_length": 8}


def trained(data: Dataset, store: Store, **settings: Any) -> Run:
    values = {"method": "codes", "codebooks": 3, "codebook_size": 8, **SMALL, **settings}
    return train(data, RunConfig.read(None, **values), store)


def test_the_manifest_says_what_the_codes_tell_apart(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = trained(tiny, store)
    report = run.manifest.info["codes"]
    codes = load_file(run.folder / MODEL)["tables.semantic.codes"][1:-1]
    assert report["bytes_per_item"] == 6
    assert report["distinct"] == len(np.unique(codes.numpy(), axis=0))
    assert report["codes"] == [8, 8, 8]
    again = trained(tiny, store)
    assert (run.folder / MODEL).read_bytes() == (again.folder / MODEL).read_bytes()
    matrix = load_scorer(run).item_matrix()  # type: ignore[attr-defined]
    twins = [rows for code in codes.unique(dim=0) if len(rows := (codes == code).all(1).nonzero()[:, 0]) > 1]
    assert twins
    for rows in twins:
        assert (matrix[1 + rows] == matrix[1 + rows[0]]).all()


@pytest.mark.parametrize(
    "change", [{"codebooks": 2}, {"codebook_size": 5}, {"quantisation": "residual"}, {"item_init": "random"}]
)
def test_every_setting_changes_the_scores(change: dict[str, Any], store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    plain, changed = (load_scorer(trained(tiny, store, **c)).score(torch.tensor([[3, 9]])) for c in ({}, change))
    assert changed.isfinite().all()
    assert (plain != changed).any()


def test_cold_items_have_codes_from_their_text(store: Store) -> None:
    data = synthetic.make(store, name="shop", users=150, items=60, seed=3)
    data = resplit(data, SplitConfig(kind="temporal", valid_from=0.2, test_from=0.4), store)
    make_embedding(store, data)
    cold = np.flatnonzero(data.item_counts[1:] == 0) + 1
    assert len(cold)
    run = trained(data, store)
    codes = load_file(run.folder / MODEL)["tables.semantic.codes"]
    assert (codes[cold] > 0).all()
    assert load_scorer(run).item_matrix()[cold].any(1).all()  # type: ignore[attr-defined]


def test_a_catalogue_of_three_items(store: Store) -> None:
    rows = [(f"u{u}", f"i{(u + step) % 3}", step) for u in range(20) for step in range(4)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    items = pd.DataFrame({"item_id": ["i0", "i1", "i2"], "title": list("abc"), "brand": ["x", "y", "y"]})
    data = ingest_frames(frame, items, IngestConfig.read(None, name="three", repeats="keep"), store, id="three")
    make_embedding(store, data)
    report = trained(data, store, codebooks=2, codebook_size=256).manifest.info["codes"]
    assert max(report["codes"]) <= 3
