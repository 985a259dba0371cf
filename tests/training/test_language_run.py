"""Runs in which a text model reads the history: settings, resuming, opening again, what is told when it cannot be."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_embedding
from interruption import stopped
from safetensors.torch import load_file
from tiny_models import encoder_at_hand, write_decoder

from llmesr.config import IngestConfig, RunConfig, SplitConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.splitting import resplit
from llmesr.encoders.language import LanguageEncoder
from llmesr.errors import UserError
from llmesr.models.scorers import NeuralScorer
from llmesr.runs.record import MODEL, Run
from llmesr.scoring.explanation import explain
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.trunk import Trunk
from llmesr.store import Store
from llmesr.training.load import load_scorer
from llmesr.training.train import resume, train

SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 2, "batch_size": 64, "max_length": 8, "lora_rank": 2}
SEQUENCES = torch.tensor([[3, 9, 21], [5, 0, 0]])


def small(**settings: Any) -> RunConfig:
    return RunConfig.read(None, **{"method": "language", "language_model": encoder_at_hand(), **SMALL, **settings})


def scores(data: Dataset, store: Store, **settings: Any) -> torch.Tensor:
    return load_scorer(train(data, small(**settings), store)).score(SEQUENCES)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (
            {"history_input": "tokens"},
            [
                {"item_tokens": 4},
                {"attention": "item_local"},
                {"attention": "alternating"},
                {"history_input": "vectors"},
            ],
        ),
        ({}, [{"prefix": "none"}, {"prefix_tokens": 5}, {"lora_rank": 0}, {"refresh_epochs": 1}, {"temperature": 0.2}]),
        ({"prefix": "collaborative"}, [{"experts": 2}, {"balance_weight": 3.0}, {"inject": True}]),
    ],
)
def test_every_setting_changes_the_scores(
    base: dict[str, Any], changes: list[dict[str, Any]], store: Store, tiny: Dataset
) -> None:
    make_embedding(store, tiny)
    plain = scores(tiny, store, **base)
    assert plain[:, 1:].isfinite().all()
    for change in changes:
        assert (scores(tiny, store, **{**base, **change})[:, 1:] != plain[:, 1:]).any(), change


def test_a_decoder_without_padding_reads_too(store: Store, tiny: Dataset, tmp_path: Any) -> None:
    make_embedding(store, tiny)
    decoder = f"hf:{write_decoder(tmp_path / 'llama', tiny.catalogue['title'].tolist())}"
    for reads in ("vectors", "tokens"):
        run = train(tiny, small(language_model=decoder, history_input=reads, item_tokens=4), store)
        assert (load_scorer(run).score(SEQUENCES) != scores(tiny, store, history_input=reads, item_tokens=4)).any()
        assert run.manifest.info["text_model"]["name"] == decoder


def test_scoring_reads_the_history_once_and_nothing_else(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_embedding(store, tiny)
    run = train(tiny, small(), store)
    scorer = load_scorer(run)
    assert isinstance(scorer, NeuralScorer)
    stored = load_file(run.folder / MODEL)
    assert not any("model.embeddings" in name for name in stored)
    assert sum(t.numel() for t in stored.values()) < 20_000
    read, forward = [], Trunk.forward
    monkeypatch.setattr(Trunk, "forward", lambda self, *given: read.append(given[0].shape) or forward(self, *given))  # type: ignore[func-returns-value]
    scorer.score(SEQUENCES)
    assert read == [(2, 2 + 3 + 3, 32)]
    opened = ScoredRun(store, run)
    made = Recommender(opened).recommend([3, 9, 21], 5)
    np.testing.assert_allclose(made["collaborative"] + made["semantic"] + made["content"], made["score"], rtol=1e-4)
    told = explain(opened, [3, 9, 21], [1])[0]
    assert told.kind == "leave-one-out"
    assert {reason.item for reason in told.reasons} <= {3, 9, 21}
    assert run.label == "language"


def test_resumed_it_ends_alike(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    config = small(prefix="collaborative", dropout=0.3)
    whole = train(tiny, config, store)
    stopped(3, tiny, whole.config, store, run_id="halted")
    assert (resume(Run(store, "halted")).folder / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()


def test_the_run_it_is_told_of_is_made_for_it_and_must_stay(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    run = train(tiny, small(inject=True, prefix="none"), store)
    told = str(run.config.collaborative_run)
    assert store.manifest("runs", told).config["method"] == "id"
    assert told in {parent.id for parent in run.manifest.parents}
    with pytest.raises(UserError, match="an id run of"):
        train(tiny, small(inject=True, collaborative_run=run.id), store)
    with pytest.raises(UserError, match="histories of 8 items, this run 9"):
        train(tiny, small(inject=True, collaborative_run=told, max_length=9), store)
    with pytest.raises(UserError, match="is used by"):
        store.delete("runs", told)
    shutil.rmtree(store.path("runs", told))
    with pytest.raises(UserError, match="which is gone"):
        load_scorer(run)


def test_a_run_that_reads_a_part_otherwise_than_the_whole_is_not_asked_for_parts(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    made = train(tiny, small(prefix="collaborative"), store)
    told = Run(store, str(made.config.collaborative_run))
    assert told.config.positions == "start"
    scorer = load_scorer(told)
    assert isinstance(scorer, NeuralScorer)
    whole, part = torch.tensor([[3, 9, 21]]), torch.tensor([[3, 9, 0]])
    torch.testing.assert_close(scorer.model.encode(whole)[:, 1], scorer.model.encode(part)[:, 1])
    counted_back = train(tiny, small(inject=True, prefix="none"), store).config.collaborative_run
    with pytest.raises(UserError, match="name one with positions=start"):
        train(tiny, small(prefix="collaborative", collaborative_run=counted_back), store)


def test_another_text_model_under_the_same_name_is_noticed(store: Store, tiny: Dataset, tmp_path: Any) -> None:
    make_embedding(store, tiny)
    folder = tmp_path / "llama"
    run = train(tiny, small(language_model=f"hf:{write_decoder(folder, [])}"), store)
    write_decoder(folder, tiny.catalogue["title"].tolist())
    with pytest.raises(UserError, match="trained with another"):
        load_scorer(run)


def test_texts_from_elsewhere_do_not_say_what_reads_histories(store: Store, tiny: Dataset) -> None:
    made = make_embedding(store, tiny)
    with store.changing("embeddings", made.id) as manifest:
        manifest.config["embedder"] = "file:vectors.npz"
    with pytest.raises(UserError, match="set language_model to one"):
        train(tiny, small(language_model="auto"), store)
    with pytest.raises(UserError, match="tokens.*positions.*lower max_length or item_tokens"):
        train(tiny, small(history_input="tokens", item_tokens=100, max_length=60), store)


def test_trained_again_for_the_test_it_is_told_of_the_run_that_was_too(store: Store) -> None:
    data = synthetic.make(store, name="shop", users=150, items=60, seed=3)
    data = resplit(data, SplitConfig(kind="temporal", valid_from=0.2, test_from=0.4, refit=True), store)
    make_embedding(store, data)
    run = train(data, small(inject=True), store)
    vectors = []
    for part in ("valid", "test"):
        scorer = load_scorer(run, part=part)
        assert isinstance(scorer, NeuralScorer)
        reader = scorer.model.encoders[0]
        assert isinstance(reader, LanguageEncoder)
        assert reader.behaviour is not None
        vectors.append(reader.behaviour.embed_items(SEQUENCES))
    assert (vectors[0] != vectors[1]).any()
    cold = np.flatnonzero(data.item_counts[1:] == 0) + 1
    assert len(cold)
    assert load_scorer(run).item_matrix()[cold].any(1).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("reads", ["vectors", "tokens"])
def test_three_items_of_which_one_has_no_text(reads: str, store: Store) -> None:
    rows = [(f"u{u}", f"i{(u + step) % 3}", step) for u in range(20) for step in range(4)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    items = pd.DataFrame({"item_id": ["i0", "i1", "i2"], "title": ["a b", "c", ""], "brand": ["x", "y", ""]})
    data = ingest_frames(frame, items, IngestConfig.read(None, name="three", repeats="keep"), store, id="three")
    make_embedding(store, data)
    found = load_scorer(train(data, small(history_input=reads), store)).score(torch.tensor([[1, 2], [3, 0]]))
    assert found[:, 1:].isfinite().all()
