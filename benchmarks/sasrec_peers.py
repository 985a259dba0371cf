"""SASRec of this project against that of other libraries: processor time to the same quality, and memory.

    python benchmarks/sasrec_peers.py PATH --name office --epochs 20 --at .12 .1246

PATH is a folder with interactions and items. RecTools, RecBole and RePlay are installed into environments of their own
(kept for the next time) and each trains for so many epochs, one after the other, on one thread: the same training
histories, sizes, batches, dropout, rate and a softmax over all items (``sasrec_side.py``). After every epoch NDCG@10 of
the validation items among all items is taken, outside the clock. Seconds are of the processor, so that other work on
the machine counts little. What every side does in its own way stays its own: which positions of a history are learned
from, how batches are made, how weights begin.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from environments import environment

from llmesr.config import IngestConfig, RunConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest
from llmesr.store import Store
from llmesr.training import loop
from llmesr.training.train import train

TORCH = f"torch=={torch.__version__.partition('+')[0]}"
PEERS = {
    "rectools": [TORCH, "rectools[torch]==0.19.0"],
    "recbole": [TORCH, "recbole==1.2.1", "numpy<2", "pandas<2.2", "scipy<1.12", "setuptools<81"],
    "replay": [TORCH, "replay-rec[torch]==0.22.0"],
}
NAMES = {"rectools": "RecTools 0.19.0", "recbole": "RecBole 1.2.1", "replay": "RePlay 0.22.0", "llmesr": "llmesr id"}
OTHER_SIDE = Path(__file__).with_name("sasrec_side.py")
OURS: dict[str, Any] = {"method": "id", "loss": "ce", "dropout": 0.2}


def ours(dataset: str, epochs: int) -> None:
    """Train here and print a line an epoch, as the other sides do; the loop's clock is that of the processor."""
    torch.set_num_threads(1)
    vars(loop)["time"] = SimpleNamespace(perf_counter=time.process_time)
    store = Store()
    data = load_dataset(store, dataset)
    run = train(data, RunConfig.read(None, **OURS, epochs=epochs, patience=epochs), store, device="cpu")
    peak, spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 0.0
    for event in run.events().to_dict("records"):
        spent += event["train_seconds"]
        quality = {metric: event[f"full/Overall/{metric}"] for metric in ("NDCG@10", "HR@10")}
        print(json.dumps({"epoch": event["epoch"], "cpu": spent, "peak": peak, **quality}))


def theirs(library: str, file: Path, args: argparse.Namespace) -> list[str]:
    """What another library's side is asked."""
    python = environment(args.environments / library, *PEERS[library])
    return [str(python), str(OTHER_SIDE), library, str(file), str(args.epochs)]


def carried_out(command: list[str]) -> list[dict[str, Any]]:
    """The lines of a side, one an epoch; why there are none goes to standard error."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = {**os.environ, **dict.fromkeys(names, "1")}
    with tempfile.TemporaryDirectory() as scratch:  # libraries leave logs where they are started
        done = subprocess.run(command, capture_output=True, text=True, env=threads, cwd=scratch)
    if done.returncode:
        print(f"{command[1:3]} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"epoch"')]


def written(data: Dataset, file: Path) -> None:
    """Training histories, and the users of validation with their targets."""
    histories = [data.train_history(u) for u in range(data.n_users)]
    starts = np.cumsum([0, *(len(h) for h in histories)])
    items, split = np.concatenate(histories).astype(np.int64), data.split
    asked, target = split.users("valid"), split.targets("valid")
    np.savez(file, items=items, starts=starts, n_items=data.n_items, users=asked, target=target)


def table(found: dict[str, pd.DataFrame], at: list[float]) -> Iterator[str]:
    """A line for each side: its pace, its best, the time to a quality that all reach and to those asked, its memory."""
    levels = [min(frame["NDCG@10"].max() for frame in found.values()), *at]
    asked = " | ".join(f"s to {level:.4f}" for level in levels)
    yield f"\n| side | processor s an epoch | epochs | best NDCG@10 (epoch) | {asked} | peak GB |"
    yield "|---" * (5 + len(levels)) + "|"
    for name, frame in found.items():
        top = frame.loc[frame["NDCG@10"].idxmax()]
        pace = frame["cpu"].diff().fillna(frame["cpu"]).median()
        best = f"{top['NDCG@10']:.4f} ({top['epoch']:.0f})"
        reached = " | ".join(until(frame, level) for level in levels)
        yield f"| {NAMES[name]} | {pace:.2f} | {len(frame)} | {best} | {reached} | {frame['peak'].max():.2f} |"


def until(frame: pd.DataFrame, level: float) -> str:
    """Seconds until a side first reaches ``level``, and in which epoch."""
    there = frame[frame["NDCG@10"] >= level]
    return f"{there['cpu'].iloc[0]:.1f} ({there['epoch'].iloc[0]:.0f})" if len(there) else "not reached"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20, help="of every other side")
    parser.add_argument("--own-epochs", type=int, default=60, help="of ours, which are shorter")
    parser.add_argument("--at", nargs="*", type=float, default=[], help="further qualities to take the time to")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "llmesr-sasrec-peers")
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        return ours(args.ours, args.own_epochs)
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), Store())
    print(
        f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, {data.split.train_lengths.sum():,} in training"
    )
    found: dict[str, pd.DataFrame] = {}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "data.npz"
        written(data, file)
        own = [sys.executable, __file__, str(args.path), "--name", args.name, "--own-epochs", str(args.own_epochs)]
        commands = {"llmesr": [*own, "--ours", data.id], **{peer: theirs(peer, file, args) for peer in args.peers}}
        for name, command in commands.items():
            if lines := carried_out(command):
                found[name] = pd.DataFrame(lines)
                print(found[name].to_csv(index=False, float_format="%.4f"), file=sys.stderr, flush=True)
    for line in table(found, args.at):
        print(line)
    return None


if __name__ == "__main__":
    main()
