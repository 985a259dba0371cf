"""The steps that growth.py measures, each carried out by a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from growth_scene import Scene, Stages, Told
from growth_serving import served
from made import STRETCH, write_files
from safetensors.numpy import save_file
from tables import Watch

from llmesr.config import EmbedConfig, IngestConfig, NeighbourConfig, RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.ingest import ingest
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.sample import validation_sample
from llmesr.linear.build import SEARCHED_FROM, Source, kernels
from llmesr.linear.evidence import Evidence
from llmesr.linear.interactions import bounded, chosen, gram
from llmesr.linear.local import solve
from llmesr.methods import Inputs, build
from llmesr.models.scorers import NeuralScorer
from llmesr.retrieval.index_quantised import Coded
from llmesr.retrieval.similar import NEIGHBOURS, load_similar, similar_users
from llmesr.semantic.embed import embed, load_embedding
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.text.prompts import item_prompts
from llmesr.training.linear import NEAREST, RECALL
from llmesr.training.stopping import Stopped
from llmesr.training.train import train

EMBEDDING, STEPS, ASKED, TEXTS = 384, 100, 1_000, 256
WHOLE = 150_000
"""Users up to which the similar ones of all are searched; above, those of :data:`SEARCHED` of them."""
SEARCHED, SOLVED = 8192, 4_096


def ingested(scene: Scene) -> Told:
    """Parquet of ten interactions a user, checked and stored."""
    data = ingest([scene.root / "files"], IngestConfig(name="grown"), scene.store)
    return Told(f"{len(data.items):,} interactions")


def opened(scene: Scene) -> Told:
    """The dataset, as every command opens it."""
    assert len(scene.data().history(0)) >= 2
    return Told()


def text(scene: Scene) -> Told:
    """Some titles through the bundled encoder; all of them take so many times as long."""
    data, config = scene.data(), EmbedConfig()
    rows = np.sort(np.random.default_rng(0).choice(data.n_items, min(TEXTS, data.n_items), replace=False))
    prompts = item_prompts(data.catalogue.iloc[rows], config.template) if rows.size else []
    embedder = open_embedder(config, scene.store)
    embedder.embed(prompts[:8])  # the model is loaded
    begun = time.process_time()
    embedder.embed(prompts)
    each = (time.process_time() - begun) / len(prompts)
    return Told(f"{1 / each:.0f} texts a second", each * (data.n_items - len(prompts)))


def user_vectors(scene: Scene) -> Told:
    """Vectors of random numbers for the items, alike within a line of fifty; the users' are their means."""
    data, rng = scene.data(), np.random.default_rng(0)
    line = np.array([int(id[1:]) for id in data.catalogue["item_id"]]) // STRETCH
    rows = rng.standard_normal((line.max() + 1, EMBEDDING), np.float32)[line]
    rows += rng.standard_normal((data.n_items, EMBEDDING), np.float32)
    file = write_vectors(scene.root / "vectors.npz", rows, data.catalogue["item_id"].tolist())
    embed(data, EmbedConfig(embedder=f"file:{file}", storage="float16"), scene.store)
    return Told()


def neighbours(scene: Scene) -> Told:
    """Ten similar users of each; of many users the codes of all, and the search for some or all. A run is then given
    anybody: a step of training costs the same."""
    data, store = scene.data(), scene.store
    embedding = load_embedding(store, scene.text())
    if scene.whole or data.n_users <= WHOLE:
        config = NeighbourConfig(neighbours=10, quantised_from=50_000, recall=scene.recall)
        made = similar_users(data, embedding, config, store, Stages())
        return Told(f"recall {made.recall:.3f}, {scene.recall:g} wanted")
    found, left_out = _searched(embedding.user_vectors, 10, scene.recall)
    users = np.random.default_rng(0).integers(0, data.n_users, (data.n_users, 10), np.int32)
    with store.draft("neighbours", "some", name="some", parents=[data.manifest, embedding.manifest]) as draft:
        draft.manifest.info = {"engine": "pq", "recall": found, "users_without_vector": 0}
        save_file({"users": users, "similarity": np.zeros(users.shape, np.float32)}, draft.path / NEIGHBOURS)
    return Told(f"recall {found:.3f}, {scene.recall:g} wanted", left_out)


def _searched(vectors: np.ndarray, k: int, wanted: float) -> tuple[float, float]:
    """All rows coded and the search tuned as ``quantised`` does, some searched for, or all where neighbours of
    neighbours follow: the recall, and the seconds that all would take longer."""
    tell = Stages()
    coded = Coded(vectors, k, recall=wanted, seed=42, progress=tell)
    tell(f"tuned: {coded.index.nprobe} lists, recall {coded.recall:.3f}", 0, 0)
    if (graph := coded.graph(wanted)) is not None:
        tell(f"{coded.index.nprobe} lists and rounds will do", 0, 0)
        return coded.refine(graph, wanted, tell), 0.0
    asked, begun = coded.there[:SEARCHED], time.process_time()
    coded.nearest(asked)
    each = (time.process_time() - begun) / len(asked)
    return coded.recall, each * (len(coded.there) - len(asked))


def text_ease(scene: Scene) -> Told:
    """All pairs of items counted, and the weights of some of the items by the local solver; in a large catalogue the
    nearest texts of some of them as well."""
    data, config, left_out, near = scene.data(), RunConfig.read(None, method="text-ease"), 0.0, None
    vectors = torch.from_numpy(load_embedding(scene.store, scene.text()).padded())
    counts = gram(chosen(data, bounded(data.split.train_lengths)))
    counted = f"{counts.nnz:,} pairs"
    made = kernels(Source(data, vectors), config)
    del vectors
    if data.n_items >= SEARCHED_FROM:
        recall, left_out = _searched(made[0].vectors.numpy(), NEAREST, RECALL)
        counted += f", near texts at recall {recall:.3f}"
        near = np.random.default_rng(0).integers(1, data.n_items + 1, (data.n_items + 1, NEAREST), np.int32)
    evidence = Evidence(counts, made, near=near)
    some = torch.randperm(data.n_items, generator=torch.Generator().manual_seed(0))[:SOLVED].sort().values + 1
    solve(evidence, some[:1], ridge=20.0, neighbours=config.item_neighbours)  # what all of them share
    begun = time.process_time()
    solve(evidence, some, ridge=20.0, neighbours=config.item_neighbours)
    each = (time.process_time() - begun) / len(some)
    return Told(f"{counted}, {each * 1000:.1f} ms an item", left_out + each * (data.n_items - len(some)))


def trained(method: str) -> Callable[[Scene], Told]:
    """A step of an epoch after all that the epoch begins with; the others of the epoch are left out."""

    def work(scene: Scene) -> Told:
        data, store, watch, given = scene.data(), scene.store, Watch(STEPS), {}
        if method == "llm-esr":
            given = {
                "embedding": load_embedding(store, scene.text()),
                "similar": load_similar(store, store.ids("neighbours")[0]),
            }
        config = RunConfig.read(None, method=method, loss="sampled")
        try:
            train(data, config, store, enough=watch.enough, progress=watch.progress, **given)  # type: ignore[arg-type]
        except Stopped:
            steps = data.n_users / config.batch_size
            return Told(f"{watch.seconds * 1000:.0f} ms a step", watch.seconds * max(steps - STEPS, 0))
        raise ValueError(f"an epoch has fewer than {STEPS} steps")

    return work


def validated(scene: Scene) -> Told:
    """A fixed sample of users ranked against every item."""
    data = scene.data()
    config = RunConfig.read(None, method="id", loss="sampled")
    scorer, sequences = NeuralScorer(build(Inputs(n_items=data.n_items), config).model), Sequences(data)
    sample = validation_sample(data, ASKED)
    begun = time.process_time()
    evaluate(scorer, data, "valid", top=0, sequences=sequences, users=sample)
    return Told(f"{(time.process_time() - begun) * 1000 / ASKED:.2f} ms a user")


STEPS_OF: dict[str, Callable[[Scene], Told]] = {
    "ingest of Parquet": ingested,
    "open, the first time": opened,
    "open": opened,
    "text by the bundled encoder": text,
    "user vectors from item vectors": user_vectors,
    "similar users, by code": neighbours,
    "text-ease, local": text_ease,
    "`id`, sampled, an epoch": trained("id"),
    "`llm-esr`, sampled, an epoch and its teachers": trained("llm-esr"),
    f"validation on {ASKED:,} users": validated,
    "serving `llm-esr` (ms of processor an answer, 64 clients)": served,
}


def prepared(scene: Scene) -> None:
    """The files to ingest."""
    folder = scene.root / "files"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        write_files(folder, scene.users, scene.items)
