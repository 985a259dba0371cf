"""What each step costs as users and items grow: processor time and peak memory, and the slopes of both.

    python benchmarks/growth.py --sizes 100000x10000 300000x30000 1000000x100000

Ten interactions a user (``made.py``), random vectors of 384 numbers in place of a language model's, alike within a line
of fifty items: their size counts here, not their meaning. Each step has a process of its own; peak memory is all that
was resident, libraries (0.4 GB) and touched pages of mapped files among it. Nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from made import STRETCH, write
from tables import Watch

from llmesr.config import EmbedConfig, NeighbourConfig, RunConfig
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.sample import validation_sample
from llmesr.methods import Inputs, build
from llmesr.models.scorers import NeuralScorer
from llmesr.retrieval.similar import load_similar, similar_users
from llmesr.semantic.embed import embed, load_embedding
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store
from llmesr.training.stopping import Stopped
from llmesr.training.train import train

EMBEDDING, STEPS, ASKED = 384, 100, 1_000
NEIGHBOURS = NeighbourConfig(neighbours=10, quantised_from=50_000)
Work = Callable[[Store, Dataset], float]
"""Does a step; what else there is to say of it, or 0."""


def _embed(store: Store, data: Dataset) -> float:
    rng, line = np.random.default_rng(0), np.arange(data.n_items) // STRETCH
    rows = rng.normal(size=(line.max() + 1, EMBEDDING))[line] + rng.normal(size=(data.n_items, EMBEDDING))
    rows = rows.astype(np.float32)
    file = write_vectors(store.root / "vectors.npz", rows, data.catalogue["item_id"].tolist())
    embed(data, EmbedConfig(embedder=f"file:{file}", storage="float16"), store)
    return 0.0


def _neighbours(store: Store, data: Dataset) -> float:
    return similar_users(data, load_embedding(store, store.ids("embeddings")[0]), NEIGHBOURS, store).recall


def _train(method: str) -> Work:
    def work(store: Store, data: Dataset) -> float:
        """Milliseconds a step, after all that an epoch begins with."""
        watch, given = Watch(STEPS), {}
        if method == "llm-esr":
            given = {
                "embedding": load_embedding(store, store.ids("embeddings")[0]),
                "similar": load_similar(store, store.ids("neighbours")[0]),
            }
        config = RunConfig.read(None, method=method, loss="sampled")
        try:
            train(data, config, store, enough=watch.enough, progress=watch.progress, **given)  # type: ignore[arg-type]
        except Stopped:
            return float(watch.seconds * 1000)
        raise ValueError(f"an epoch has fewer than {STEPS} steps")

    return work


def _validate(store: Store, data: Dataset) -> float:
    """Milliseconds a user."""
    config = RunConfig.read(None, method="id", loss="sampled")
    scorer, sequences = NeuralScorer(build(Inputs(n_items=data.n_items), config).model), Sequences(data)
    sample = validation_sample(data, ASKED)
    begun = time.process_time()
    evaluate(scorer, data, "valid", top=0, sequences=sequences, users=sample)
    return (time.process_time() - begun) * 1000 / ASKED


STAGES: dict[str, Work] = {
    "open, the first time": lambda _store, _data: 0.0,
    "open": lambda _store, _data: 0.0,
    "user vectors from item vectors": _embed,
    "similar users (recall)": _neighbours,
    f"id, sampled, {STEPS} steps (ms a step)": _train("id"),
    f"llm-esr, sampled, {STEPS} steps and the teachers (ms a step)": _train("llm-esr"),
    f"validation on {ASKED:,} users (ms a user)": _validate,
}


def one(root: Path, id: str, name: str) -> dict[str, float]:
    """Carry out a stage in this process."""
    begun, store = time.process_time(), Store(root)
    more = STAGES[name](store, load_dataset(store, id))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": time.process_time() - begun, "peak": peak, "more": more}


def measured(users: int, items: int) -> dict[str, dict[str, float]]:
    """All stages of one size, each in a process."""
    with tempfile.TemporaryDirectory() as scratch:
        id = write(Store(scratch), users, items)
        found = {}
        for name in STAGES:
            command = [sys.executable, __file__, "--child", scratch, id, name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
            shown = {key: round(value, 3) for key, value in found[name].items()}
            print(f"{users:,} users, {items:,} items: {name}: {shown}", file=sys.stderr, flush=True)
    return found


def slope(sizes: list[int], values: list[float]) -> float:
    """By which power of the size the values grow."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0])


def main() -> None:
    """Print a row for each stage, with the slopes over the numbers of users."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["20000x2000", "60000x6000", "200000x20000"])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(one(Path(asked.child[0]), *asked.child[1:])))
        return
    sizes = [tuple(int(part) for part in size.split("x")) for size in asked.sizes]
    found = [measured(users, items) for users, items in sizes]
    users = [size[0] for size in sizes]
    heads = " | ".join(f"{u:,} x {n:,}" for u, n in sizes)
    print(f"| processor s, peak GB | {heads} | slopes |\n|---|{'---|' * (len(sizes) + 1)}")
    for name in STAGES:
        rows = [size[name] for size in found]
        cells = [f"{r['seconds']:.1f}, {r['peak']:.2f}" + (f" ({r['more']:.3g})" if r["more"] else "") for r in rows]
        slopes = ", ".join(f"{slope(users, [r[key] for r in rows]):.2f}" for key in ("seconds", "peak"))
        print(f"| {name} | {' | '.join(cells)} | {slopes} |")


if __name__ == "__main__":
    main()
