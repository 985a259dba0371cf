"""Seconds per training epoch, beside what others take for the same work.

    python benchmarks/training.py PATH --name ml --suite paper              # the authors' anchor is printed beside it
    python benchmarks/training.py PATH --name office --suite rectools       # RecTools in an environment of its own

PATH is a folder with interactions and items. ``rectools`` makes a virtual environment (``--environment``, kept for
the next time), installs RecTools there, and trains both sides in turn on the same interactions, single-threaded, for
the same number of epochs; the quality of both is NDCG@10 over the full catalogue on validation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from environments import environment

from llmesr.config import EmbedConfig, IngestConfig, RunConfig, preset
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.evaluation.table import event_metrics
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

RECTOOLS = "0.19.0"
OTHER_SIDE = Path(__file__).with_name("rectools_side.py")
ANCHOR = 279.0
"""Seconds per epoch of the LLM-ESR authors' code on MovieLens 100K with the paper's settings, 2 cores."""


def ours(data: Dataset, settings: dict[str, Any], store: Store, device: str) -> dict[str, float]:
    """Median seconds per epoch (training only) and validation NDCG@10 over the full catalogue of the last epoch."""
    config = RunConfig.read(None, **settings)
    run = train(data, config, store, embedding=embed(data, EmbedConfig(), store), device=device)
    frame = run.per_user()
    known = (frame["part"] == "valid") & (frame["history_length"] >= 2)  # to RecTools the others are cold
    metrics = event_metrics(frame[known], data.thresholds, ["NDCG@10", "HR@10"])
    return {
        "seconds": float(run.events()["train_seconds"].median()),
        "NDCG@10": metrics["full/Overall/NDCG@10"],
        "HR@10": metrics["full/Overall/HR@10"],
    }


def paper(data: Dataset, store: Store, epochs: int, device: str) -> None:
    """LLM-ESR with the paper's settings, and the project's own defaults."""
    print("| settings | seconds per epoch | the authors' code | times faster |\n|---|---|---|---|")
    for label, method in (("llm-esr/sasrec, the paper's settings", "llm-esr"), ("id/sasrec, the same", "id")):
        settings = {**preset("paper", "sasrec"), "method": method, "epochs": epochs}
        if method == "id":
            settings.pop("fusion")
        seconds = ours(data, settings, store, device)["seconds"]
        anchor = f"{ANCHOR:.0f} (MovieLens 100K) | {ANCHOR / seconds:.0f}" if method == "llm-esr" else "- | -"
        print(f"| {label} | {seconds:.2f} | {anchor} |", flush=True)
    seconds = ours(data, {"method": "llm-esr", "epochs": epochs}, store, device)["seconds"]
    print(f"| llm-esr/sasrec, our defaults (max length 50, cross-entropy) | {seconds:.2f} | - | - |")


def theirs(data: Dataset, loss: str, epochs: int, python: Path) -> dict[str, float]:
    """The same numbers from RecTools' SASRec on the training part."""
    rows = [(u, item, t) for u in range(data.n_users) for t, item in enumerate(data.history(u).tolist())]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "datetime"])
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "histories.csv"
        frame.to_csv(file, index=False)
        command = [str(python), str(OTHER_SIDE), str(file), loss, str(epochs)]
        single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=single)
    document: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return document


def rectools(data: Dataset, store: Store, epochs: int, python: Path) -> None:
    """SASRec of both sides: 64 factors, 2 blocks, max length 50, batch 128, single thread."""
    torch.set_num_threads(1)
    print("| loss | side | seconds per epoch | NDCG@10, full, validation | HR@10 |\n|---|---|---|---|---|")
    for name, loss in (("BCE", "bce"), ("softmax", "ce")):
        other = theirs(data, name, epochs, python)
        settings = {"method": "id", "loss": loss, "epochs": epochs, "patience": epochs, "dropout": 0.2}
        own = ours(data, settings, store, "cpu")
        for side, found in ((f"RecTools {RECTOOLS}", other), ("llmesr", own)):
            print(f"| {loss} | {side} | {found['seconds']:.2f} | {found['NDCG@10']:.4f} | {found['HR@10']:.4f} |")
        print(f"| {loss} | times faster | {other['seconds'] / own['seconds']:.1f} | | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--suite", choices=["paper", "rectools"], default="paper")
    parser.add_argument("--epochs", type=int, help="default 3 (paper), 20 (rectools)")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "llmesr-rectools")
    args = parser.parse_args()
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, {len(data.items):,} interactions\n")
    started = time.perf_counter()
    if args.suite == "paper":
        paper(data, store, args.epochs or 3, args.device)
    else:
        torch_too = f"torch=={torch.__version__.partition('+')[0]}"
        python = environment(args.environment, torch_too, f"rectools[torch]=={RECTOOLS}")
        rectools(data, store, args.epochs or 20, python)
    print(f"\n{time.perf_counter() - started:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
