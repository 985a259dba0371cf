"""Nothing behind a cut is ever read: change all of it, and everything made of the past stays bit for bit the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_embedding
from safetensors.numpy import load_file
from tiny_models import write_decoder

from llmesr.config import (
    AllocationConfig,
    EmbedConfig,
    FinetuneConfig,
    IngestConfig,
    MethodName,
    NeighbourConfig,
    RunConfig,
    SplitConfig,
)
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest_frames
from llmesr.data.reviews import REVIEWS
from llmesr.data.split import boundaries
from llmesr.data.splitting import resplit
from llmesr.linear.interactions import chosen, followed
from llmesr.retrieval.similar import similar_users
from llmesr.runs.record import MODEL, VALIDATED
from llmesr.scoring.allocation.allocate import allocate
from llmesr.scoring.allocation.rankers import by_run
from llmesr.scoring.blend import blend
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import PolicyTuningConfig
from llmesr.scoring.tuning.search import tune_policy
from llmesr.semantic.embed import user_vectors
from llmesr.semantic.embedders.contract import Embedder
from llmesr.semantic.inputs import user_texts
from llmesr.store import Store
from llmesr.training.finetune import finetune
from llmesr.training.material import gather
from llmesr.training.train import train

KINDS = ("leave-one-out", "temporal", "refit")


class Reader:
    """An embedder of which only how far it reads is asked."""

    reads, reach, lengths = "text", 500, Embedder.lengths


def pair(tmp_path: Path, kind: str, behind: str) -> list[tuple[Store, Dataset]]:
    """A dataset and the same with another future: what lies behind the validation or the test cut is changed."""
    made = []
    for name in ("a", "b"):
        store = Store(tmp_path / name)
        data = synthetic.make(store, name="shop", users=150, items=50, seed=3)
        if kind != "leave-one-out":
            cuts = SplitConfig(kind="temporal", valid_from=0.6, test_from=0.8, refit=kind == "refit")
            data = resplit(data, cuts, store)
        made.append((store, data if name == "a" else other_future(data, behind)))
    return made


def other_future(data: Dataset, behind: str) -> Dataset:
    """Other items behind the cut; under a temporal split fewer of them, too."""
    rng = np.random.default_rng(1)
    assert data.timestamps is not None
    user = np.repeat(np.arange(data.n_users), data.lengths)
    place = np.arange(len(user)) - data.offsets[user]
    if data.split_config.kind == "temporal":
        future = data.timestamps >= boundaries(data.split_config)[behind == "test"]
        kept = ~future | (rng.random(len(user)) < 0.7)
    else:
        future = place >= (data.split.train_lengths if behind == "valid" else data.split.input_lengths("test"))[user]
        kept = np.ones(len(user), bool)
    assert future.any()
    items = np.where(future, rng.integers(1, data.n_items + 1, len(user)), data.items).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user[kept], minlength=data.n_users))])
    return replace(data, items=items[kept], offsets=offsets, timestamps=data.timestamps[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_of_the_training_part(tmp_path: Path, kind: str) -> None:
    made: list[dict[str, np.ndarray]] = []
    for store, data in pair(tmp_path, kind, "valid"):
        embedding = make_embedding(store, data)
        vectors = user_vectors(data, embedding.item_vectors, EmbedConfig(), Reader(), store)  # type: ignore[arg-type]
        similar = similar_users(data, embedding, NeighbourConfig(neighbours=5), store)
        cosines, links = data.item_cosines, followed(data, 3, 0.5)
        made.append(
            {
                "training items": data.split.train_items,
                "lengths": data.split.train_lengths,
                "popularity": data.item_counts,
                "thresholds": np.array([data.thresholds.item, data.thresholds.user]),
                "co-occurrence": cosines.toarray(),
                "interactions": chosen(data).toarray(),
                "successions": links.toarray(),
                "text of users": np.array(user_texts(data, Reader())),  # type: ignore[arg-type]
                "vectors of users": vectors,
                "similar users": similar.users,
                "similarity": similar.similarity,
            }
        )
    assert made[0]["co-occurrence"].any()
    for what in made[0]:
        assert np.array_equal(made[0][what], made[1][what]), what


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_and_tuned_before_the_test(tmp_path: Path, kind: str) -> None:
    """Leave-one-out keeps one look ahead, as in the papers: uni100's negatives are never the test item, so only what
    full ranking says is compared there."""
    weights, policies, metrics, fitted = [], [], [], []
    for store, data in pair(tmp_path, kind, "test"):
        embedding = make_embedding(store, data)
        config = RunConfig(
            method="llm-esr", epochs=3, patience=1, max_length=10, embedding_size=8, neighbours=3, seed=1, graph_steps=2
        )
        run = train(data, config, store, embedding=embedding, device="cpu")
        scored = ScoredRun(store, run, dataset=data, embedding=embedding)
        tuned = tune_policy(scored, PolicyTuningConfig(objective="overall", emphases=(0.0, 1.0), sample=100))
        weights.append(load_file(run.folder / MODEL))
        linear = train(data, RunConfig(method="item-knn", max_length=10), store, device="cpu")
        fitted.append({**load_file(linear.folder / MODEL), "popularity": scored.ground.item_counts.numpy()})
        policies.append([point.policy for point in tuned.points])
        metrics.append([{k: v for k, v in p.metrics.items() if k.startswith("full/")} for p in tuned.points])
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert np.array_equal(tensor, weights[1][name]), name
    for name, array in fitted[0].items():
        assert np.array_equal(array, fitted[1][name]), name
    assert policies[0] == policies[1]
    assert metrics[0] == metrics[1]


ONE = {"epochs": 1, "patience": 1, "max_length": 10, "embedding_size": 8, "layers": 1, "neighbours": 3, "seed": 1}
TUNED = {
    "steps": 2,
    "evaluate_every": 2,
    "batch_size": 6,
    "max_tokens": 32,
    "lora_rank": 2,
    "targets": "hard",
    "categories": 6,
}
SOLVED = {"max_length": 10, "fallback": "none"}
"""Without the fallback, whose size validation chooses."""
TRAININGS: dict[str, dict[str, Any]] = {
    **{m: {"method": m, **SOLVED} for m in ("item-knn", "markov", "ease", "text-ease")},
    "text-ease, words": {"method": "text-ease", "views": ["words"], **SOLVED},
    "ials": {"method": "ials", "max_length": 10, "embedding_size": 8, "seed": 1},
    **{m: {"method": m, **ONE} for m in ("id", "llm-init", "adapter", "llm-esr", "llmemb", "codes")},
    "generative": {"method": "generative", **ONE, "epochs": 3, "evaluate_every": 3, "refresh_codes": 1},
    "bert4rec": {"method": "id", "backbone": "bert4rec", **ONE},
    "graph steps": {"method": "id", "graph_steps": 2, **ONE},
    "base": {"method": "id", "base": "ease", **ONE},
    "teacher": {"method": "id", "teacher": "teacher", **ONE},
    "sampled loss": {"method": "id", "loss": "sampled", "negatives": 8, **ONE},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_reads_what_lies_behind_its_cut(tmp_path: Path, kind: str, name: str) -> None:
    """One look at validation, so that it has nothing to choose: everything behind the validation cut is another, and
    the model that is asked there is the same bit for bit."""
    made = []
    for store, data in pair(tmp_path, kind, "valid"):
        embedding = make_embedding(store, data)
        if name == "teacher":
            train(data, RunConfig.read(None, method="id", **{**ONE, "seed": 2}), store, run_id="teacher", device="cpu")
        run = train(data, RunConfig.read(None, **TRAININGS[name]), store, embedding=embedding, device="cpu")
        path = run.folder / VALIDATED
        made.append(load_file(path if path.is_file() else run.folder / MODEL))
    assert made[0].keys() == made[1].keys()
    for tensor, values in made[0].items():
        assert np.array_equal(values, made[1][tensor]), tensor


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_of_a_blend_are_of_what_lies_before_the_test(tmp_path: Path, kind: str) -> None:
    sums: list[Any] = []
    for store, data in pair(tmp_path, kind, "test"):
        embedding = make_embedding(store, data)
        settings = {"id": ONE, "text-ease": {"max_length": 10}, "popularity": {"max_length": 10}}
        configs = [RunConfig.read(None, method=m, **s) for m, s in settings.items()]
        members = [train(data, c, store, embedding=embedding, device="cpu") for c in configs]
        made = blend(members)
        said = made.manifest.info["blend"]
        ranks = made.per_user()
        asked = ranks[(ranks["part"] == "valid") & (ranks["protocol"] == "full")]
        sums.append((said["weights"], said["bias"], said["counts"], asked["rank"].tolist()))
        grown = blend(members, trees=True)
        ranks = grown.per_user()
        asked = ranks[(ranks["part"] == "valid") & (ranks["protocol"] == "full")]
        tensors = {k: v.tolist() for k, v in load_file(grown.folder / MODEL).items()}
        sums[-1] += (tensors, grown.manifest.info["blend"]["trees"], asked["rank"].tolist())
    assert sums[0] == sums[1]


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_handed_to_a_second_ranker_before_the_test(tmp_path: Path, kind: str) -> None:
    found = []
    for store, data in pair(tmp_path, kind, "test"):
        make_embedding(store, data)
        methods: tuple[MethodName, ...] = ("popularity", "semantic-knn")
        runs = [train(data, RunConfig(method=m, max_length=10), store) for m in methods]
        first, second = (ScoredRun(store, run, dataset=data) for run in runs)
        made = allocate(first, by_run(second, first), AllocationConfig())
        found.append((made.weak.tolist(), made.share, made.chosen, made.features.fillna(-1).to_dict()))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["co_chosen", "preferences"])
def test_a_text_model_is_tuned_on_what_lies_before_the_cut(tmp_path: Path, kind: str, objective: str) -> None:
    """Who is trained on, every prompt that is paired or read, and the adapter that comes of it."""
    said, adapters = [], []
    for store, data in pair(tmp_path, kind, "valid"):
        texts = data.catalogue[data.text_columns].to_numpy().ravel().tolist()
        base = f"hf:{write_decoder(tmp_path / data.name, texts)}"
        config = FinetuneConfig.read(None, base=base, objective=objective, **TUNED)
        made = gather(data, config, store)
        prompts = [made.objective.pairs(made.train[:20], step) for step in (0, 1)]
        said.append((made.train.tolist(), made.held_out.tolist(), prompts))
        run = finetune(data, config, store, device="cpu")
        adapters.append(load_file(run.folder / "adapter" / "adapter_model.safetensors"))
    assert said[0] == said[1]
    for name, tensor in adapters[0].items():
        assert np.array_equal(tensor, adapters[1][name]), name


@pytest.mark.parametrize(
    ("split", "kept"),
    [
        ("leave-one-out", {"good", "fine"}),
        ({"kind": "temporal", "valid_from": "2024-01-02", "test_from": "2024-01-03"}, {"good"}),
    ],
)
def test_reviews_are_of_the_training_part(store: Store, split: object, kept: set[str]) -> None:
    words = ["good", "fine", "later", "last"]
    rows = [
        (f"u{u}", f"i{i}", f"2024-01-0{i} 12:00", f"{w} {u}") for u in range(3) for i, w in enumerate(words, start=1)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "review"])
    config = IngestConfig.read(None, name="talk", split=split, columns={"review": "review"})
    data = ingest_frames(frame, None, config, store, id="talk")
    text = pd.read_parquet(store.path("datasets", data.id) / REVIEWS)["text"]
    assert {word for line in text for word in line.split() if not word.isdigit()} == kept
