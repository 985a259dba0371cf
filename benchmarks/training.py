"""Seconds per training epoch with the LLM-ESR paper's settings, beside the authors' code, and with ours.

    python benchmarks/training.py PATH --name ml --k-core 5

PATH is a folder with interactions and items. How fast other libraries train is measured by ``peers.py``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from llmesr.config import EmbedConfig, IngestConfig, RunConfig, preset
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

ANCHOR = 279.0
"""Seconds per epoch of the LLM-ESR authors' code on MovieLens 100K with the paper's settings, 2 cores."""
ANCHORED = 943
"""Users of MovieLens 100K: on other data the anchor says nothing."""


def seconds(data: Dataset, settings: dict[str, Any], store: Store, device: str) -> float:
    """Median seconds per epoch, training only."""
    config = RunConfig.read(None, **settings)
    run = train(data, config, store, embedding=embed(data, EmbedConfig(), store), device=device)
    return float(run.events()["train_seconds"].median())


def compare(data: Dataset, store: Store, epochs: int, device: str) -> None:
    """LLM-ESR with the paper's settings, and the project's own defaults."""
    print("| settings | seconds per epoch | the authors' code | times faster |\n|---|---|---|---|")
    for label, method in (("llm-esr/sasrec, the paper's settings", "llm-esr"), ("id/sasrec, the same", "id")):
        settings = {**preset("paper", "sasrec"), "method": method, "epochs": epochs}
        if method == "id":
            settings.pop("fusion")
        took = seconds(data, settings, store, device)
        anchored = method == "llm-esr" and data.n_users == ANCHORED
        anchor = f"{ANCHOR:.0f} | {ANCHOR / took:.0f}" if anchored else "- | -"
        print(f"| {label} | {took:.2f} | {anchor} |", flush=True)
    took = seconds(data, {"method": "llm-esr", "epochs": epochs}, store, device)
    print(f"| llm-esr/sasrec, our defaults (max length 50, cross-entropy) | {took:.2f} | - | - |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, {len(data.items):,} interactions\n")
    started = time.perf_counter()
    compare(data, store, args.epochs, args.device)
    print(f"\n{time.perf_counter() - started:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
