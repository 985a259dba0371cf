"""Training throughput on a GPU: sequences and positions per second, and the share of the device's peak.

    python benchmarks/gpu.py PATH --name beauty
    python benchmarks/gpu.py --users 1000000 --items 200000

PATH is a folder with interactions and items; without one a generated shop is used. Item vectors are random: the speed
does not depend on what they say. Each line is the median epoch (training only) of a run with everything resident on the
device: float32 and bfloat16, as it is and with the model compiled. The share of the peak counts the matrix products of
encoder and softmax, forward and backward, against the published dense bfloat16 peak. Without a GPU it runs on the
processor, names it, and shows only that the command works.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from factories import make_embedding  # noqa: E402

from llmesr.config import IngestConfig, RunConfig  # noqa: E402
from llmesr.data import synthetic  # noqa: E402
from llmesr.data.dataset import Dataset  # noqa: E402
from llmesr.data.ingest import ingest  # noqa: E402
from llmesr.models.sequence_model import SequenceModel  # noqa: E402
from llmesr.semantic.embed import Embedding  # noqa: E402
from llmesr.store import Store  # noqa: E402
from llmesr.training.devices import pick_device  # noqa: E402
from llmesr.training.rows import Rows  # noqa: E402
from llmesr.training.train import train  # noqa: E402

PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40": 181e12, "4090": 165e12, "T4": 65e12}
"""Dense bfloat16 (T4: float16) operations per second by a part of the device's name."""
PLAIN = SequenceModel.encode


def operations(data: Dataset, config: RunConfig) -> tuple[int, int, float]:
    """Sequences, predicted positions and matrix-product operations of one epoch."""
    rows = Rows.of(data, max_length=config.max_length, all_windows=config.all_windows)
    lengths = np.minimum(rows.ends, config.max_length) - 1
    positions, size, views = int(lengths.sum()), config.embedding_size, 2 if config.method == "llm-esr" else 1
    blocks = config.layers * (6 * size * size * positions + 2 * size * float((lengths.astype(float) ** 2).sum()))
    softmax = positions * data.n_items * size
    return len(rows.users), positions, 6.0 * views * (blocks + softmax)  # a product is 2, its backward pass 4 more


def measure(data: Dataset, vectors: Embedding, config: RunConfig, store: Store, device: str, compiled: bool) -> None:
    """One run; prints its line."""
    SequenceModel.encode = torch.compile(PLAIN, dynamic=True) if compiled else PLAIN  # type: ignore[method-assign]
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    run = train(data, config, store, embedding=vectors, device=device)
    whole = time.perf_counter() - started
    seconds = float(run.events()["train_seconds"].iloc[1:].median())  # the first epoch warms up
    sequences, positions, work = operations(data, config)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "cpu"
    peak = next((p for part, p in PEAK.items() if part in name), None)
    share = f"{work / seconds / peak:.1%}" if peak else "-"
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else float("nan")
    label = f"{config.method}, {config.precision}{', compiled' if compiled else ''}"
    print(
        f"| {label} | {seconds:.2f} | {sequences / seconds:,.0f} | {positions / seconds:,.0f} | {share} | {memory:.1f} "
        f"| {whole:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--name", default="bench")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--users", type=int, default=1_000_000, help="of the generated shop")
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--methods", nargs="+", default=["id", "llm-esr"])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = str(pick_device(args.device))
    if not device.startswith("cuda"):
        print(f"No GPU here: this measures {device} and only shows that the command works.")
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch))
        if args.path:
            data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
        else:
            data = synthetic.make(store, args.name, users=args.users, items=args.items)
        vectors = make_embedding(store, data, size=384)
        print(f"{data.n_users:,} users, {data.n_items:,} items, {len(data.items):,} interactions, {device}\n")
        print(
            "| run | s per epoch | sequences/s | positions/s | of the peak | GiB | s in all |\n|---" + "|---" * 6 + "|"
        )
        for method in args.methods:
            for precision in ("float32", "bfloat16"):
                for compiled in (False,) if args.no_compile else (False, True):
                    given = {"method": method, "precision": precision, "batch_size": args.batch_size}
                    config = RunConfig.read(None, **given, epochs=args.epochs, evaluate_every=args.epochs)
                    measure(data, vectors, config, store, device, compiled)


if __name__ == "__main__":
    main()
