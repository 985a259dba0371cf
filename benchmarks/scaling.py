"""What a user, an item and an interaction cost, in bytes and seconds: the figures of docs/scaling.md.

    python benchmarks/scaling.py --users 20000 --items 10000

A generated marketplace, random vectors in place of a language model's (their size counts here, not their meaning),
one epoch of each configuration. Nothing is kept.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from llmesr.config import EmbedConfig, NeighbourConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.retrieval.similar import similar_users
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training.rows import Rows
from llmesr.training.train import train

EMBEDDING = 384
RUNS: dict[str, dict[str, Any]] = {
    "id, cross-entropy over the catalogue": {"method": "id"},
    "id, sampled softmax (1,024 negatives)": {"method": "id", "loss": "sampled"},
    "llm-esr, cross-entropy over the catalogue": {"method": "llm-esr"},
    "llm-esr, sampled softmax (1,024 negatives)": {"method": "llm-esr", "loss": "sampled"},
}


def vectors(data: Dataset, store: Store, folder: Path) -> Embedding:
    """An embedding of random vectors."""
    rows = np.random.default_rng(0).normal(size=(data.n_items, EMBEDDING)).astype(np.float32)
    np.savez(folder / "vectors.npz", item_ids=data.catalogue["item_id"].to_numpy(str), vectors=rows)
    return embed(data, EmbedConfig(embedder=f"file:{folder / 'vectors.npz'}"), store)


def size(folder: Path, *names: str) -> int:
    """Bytes of the named files under an artifact's folder."""
    return sum((folder / name).stat().st_size for name in names)


def positions(data: Dataset, config: RunConfig) -> int:
    """Predicted positions of an epoch."""
    rows = Rows.of(data, max_length=config.max_length, all_windows=config.all_windows)
    return int(np.minimum(rows.ends - 1, config.max_length).sum())


def main() -> None:
    """Print the two tables of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "artifacts")
        data = make(store, name="market", users=asked.users, items=asked.items, seed=1)
        embedding = vectors(data, store, Path(scratch))
        similar = similar_users(data, embedding, NeighbourConfig(), store)
        runs = {
            name: train(
                data,
                RunConfig.read(None, epochs=1, **settings),
                store,
                embedding=embedding,
                similar=similar,
                device=asked.device,
            )
            for name, settings in RUNS.items()
        }
        sizes(data, embedding, store, similar.id, runs)
        speeds(data, runs)


def sizes(data: Dataset, embedding: Embedding, store: Store, similar: str, runs: dict[str, Run]) -> None:
    """Bytes on disk by what they grow with."""
    folder, users, items = store.path("datasets", data.id), data.n_users, data.n_items
    run = list(runs.values())[2]
    rows = [
        ("dataset, interactions", size(folder, "interactions.parquet") / len(data.items), "interaction"),
        ("dataset, user ids", size(folder, "users.parquet") / users, "user"),
        ("dataset, item text", size(folder, "items.parquet") / items, "item"),
        (
            "embedding",
            size(store.path("embeddings", embedding.id), "vectors.safetensors") / (users + items),
            "user, item",
        ),
        ("similar users (100)", size(store.path("neighbours", similar), "neighbours.safetensors") / users, "user"),
        ("llm-esr, model", size(run.folder, "model.safetensors") / items, "item"),
        (
            "llm-esr, checkpoints",
            size(run.folder / "checkpoints", "last.safetensors", "best.safetensors") / items,
            "item",
        ),
        ("ranks and top items", size(run.folder, "per_user.parquet", "top_items.safetensors") / users, "user"),
    ]
    print(f"{users:,} users, {items:,} items, {len(data.items):,} interactions\n")
    print("| on disk | bytes | for each |\n|---|---|---|")
    for name, octets, each in rows:
        print(f"| {name} | {octets:,.0f} | {each} |")


def speeds(data: Dataset, runs: dict[str, Run]) -> None:
    """Positions trained and users ranked in a second."""
    print("\n| training | positions/s | users ranked/s |\n|---|---|---|")
    for name, run in runs.items():
        trained = positions(data, run.config) / float(run.events()["train_seconds"].iloc[0])
        ranked = sum(len(data.split.users(part)) for part in ("valid", "test")) / run.manifest.timings["evaluate"]
        print(f"| {name} | {trained:,.0f} | {ranked:,.0f} |")


if __name__ == "__main__":
    main()
