"""What a training step costs as the catalogue grows, with dense and with sparse updates of the item vectors.

    python benchmarks/tables.py --items 100000 1000000
    python benchmarks/tables.py --quality PATH --name beauty     # validation and test of both, over three seeds

PATH is a folder with interactions and items. Processor time, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from made import write

from llmesr.config import EmbedConfig, IngestConfig, RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest
from llmesr.evaluation.table import event_metrics
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.stopping import Stopped
from llmesr.training.train import train

UPDATES = ("dense", "sparse")
WARM = 3


class Watch:
    """Processor time after each step; enough after ``steps`` of them."""

    def __init__(self, steps: int) -> None:
        self.steps, self.times = steps + WARM, list[float]()

    def progress(self, stage: str, done: int, total: int) -> None:
        """A listener of :func:`~llmesr.training.train.train`."""
        if stage.startswith("epoch"):
            self.times.append(time.process_time())

    def enough(self) -> bool:
        """Whether all steps are done."""
        return len(self.times) > self.steps

    @property
    def seconds(self) -> float:
        """The median step, without the first few."""
        steps = [after - before for before, after in zip(self.times[WARM:], self.times[WARM + 1 :], strict=False)]
        return statistics.median(steps)


def step(data: Dataset, store: Store, steps: int, **settings: Any) -> float:
    """Processor seconds of a training step."""
    watch = Watch(steps)
    try:
        train(data, RunConfig.read(None, **settings), store, enough=watch.enough, progress=watch.progress)
    except Stopped:
        return watch.seconds
    raise ValueError(f"an epoch of {data.name} has fewer than {watch.steps} steps")


def speed(items: list[int], steps: int) -> None:
    """Print a row for each number of items."""
    print("| items | dense, ms a step | sparse, ms a step | times |\n|---|---|---|---|")
    for n in items:
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(scratch)
            data = load_dataset(store, write(store, 20_000, n))
            dense, sparse = (step(data, store, steps, method="id", loss="sampled", item_updates=u) for u in UPDATES)
        print(f"| {n:,} | {dense * 1000:,.0f} | {sparse * 1000:,.0f} | {dense / sparse:.1f} |", flush=True)


def quality(path: Path, name: str, methods: list[str], epochs: int) -> None:
    """Print NDCG@10 (full) of both on the test, by group, for three seeds."""
    groups = ("Overall", "Tail Item", "Tail User")
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch)
        data = ingest([path], IngestConfig.read(None, name=name), store)
        text = embed(data, EmbedConfig(), store) if methods != ["id"] else None
        print(f"| method | updates | seed | best epoch | {' | '.join(groups)} |")
        print(f"|---|---|---|---|{'---|' * len(groups)}")
        for method in methods:
            for updates in UPDATES:
                for seed in (42, 43, 44):
                    settings = {"method": method, "loss": "sampled", "item_updates": updates, "seed": seed}
                    run = train(data, RunConfig.read(None, **settings, epochs=epochs), store, embedding=text)
                    frame = run.per_user()
                    found = event_metrics(frame[frame["part"] == "test"], data.thresholds, ["NDCG@10"])
                    said = [method, updates, str(seed), str(run.manifest.info["best_epoch"])]
                    said += [f"{found[f'full/{group}/NDCG@10']:.4f}" for group in groups]
                    print(f"| {' | '.join(said)} |", flush=True)


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quality", type=Path, help="a folder with interactions and items")
    parser.add_argument("--name", default="data")
    parser.add_argument("--methods", nargs="+", default=["id"])
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    if asked.quality:
        quality(asked.quality, asked.name, asked.methods, asked.epochs)
    else:
        speed(asked.items, asked.steps)


if __name__ == "__main__":
    main()
