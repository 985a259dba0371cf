"""What the recall of similar users is worth: `llm-esr` taught by the true ones, and by those that a search finds which
misses some of them.

    python benchmarks/recall.py PATH --name office --recall 1 0.8 0.5 0 --epochs 200
    python benchmarks/recall.py PATH --name office --recall 1 0.5 --part test

Of every user's hundred nearest, each is missed by chance, and the nearest ten of the others teach; at recall 0 anybody
does. NDCG@10 by group. What a search misses is rather what lies at the edge, so this is the harder case.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from llmesr.config import EmbedConfig, IngestConfig, NeighbourConfig, RunConfig, parse_overrides
from llmesr.data.ingest import ingest
from llmesr.evaluation.table import event_metrics
from llmesr.retrieval.similar import SimilarUsers, similar_users
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

COLUMNS = [(of, group) for of in ("full", "uni100") for group in ("Overall", "Tail Item", "Head Item", "Tail User")]


def missing(similar: SimilarUsers, recall: float, k: int, seed: int) -> SimilarUsers:
    """The first ``k`` of those that are found, where each is found with probability ``recall``; anybody at 0."""
    rng = np.random.default_rng(seed)
    users = similar.users
    if recall == 0:
        return replace(similar, users=rng.integers(0, len(users), (len(users), k), np.int32))
    found = (rng.random(users.shape) < recall) & (users >= 0)
    order = np.argsort(~found, axis=1, kind="stable")[:, :k]
    kept = np.where(np.take_along_axis(found, order, 1), np.take_along_axis(users, order, 1), -1)
    return replace(similar, users=kept.astype(np.int32))


def main() -> None:
    """Print a row for each recall and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a folder with interactions and items")
    parser.add_argument("--name", default="data")
    parser.add_argument("--recall", type=float, nargs="+", default=[1.0, 0.8, 0.5, 0.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--part", choices=("valid", "test"), default="valid")
    parser.add_argument("--set", action="append", default=[], help="key=value for every run")
    asked = parser.parse_args()
    own = {"method": "llm-esr", "epochs": asked.epochs, **parse_overrides(asked.set)}
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch)
        data = ingest([asked.path], IngestConfig.read(None, name=asked.name), store)
        text = embed(data, EmbedConfig(), store)
        similar = similar_users(data, text, NeighbourConfig(), store)
        if similar.recall < 1:
            raise SystemExit(f"The search itself has found {similar.recall:.3f} of them here: take a smaller dataset.")
        print(f"| recall | seed | best epoch | {' | '.join(f'{of} {group}' for of, group in COLUMNS)} |")
        print(f"|---|---|---|{'---|' * len(COLUMNS)}")
        for recall in asked.recall:
            for seed in asked.seeds:
                config = RunConfig.read(None, **own, seed=seed)
                taught = missing(similar, recall, config.neighbours, seed)
                run = train(data, config, store, embedding=text, similar=taught)
                found = event_metrics(run.per_user(asked.part), data.thresholds, ["NDCG@10"])
                said = [f"{recall:g}", str(seed), str(run.manifest.info["best_epoch"])]
                said += [f"{found[f'{of}/{group}/NDCG@10']:.4f}" for of, group in COLUMNS]
                print(f"| {' | '.join(said)} |", flush=True)


if __name__ == "__main__":
    main()
