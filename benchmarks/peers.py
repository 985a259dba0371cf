"""SASRec, BERT4Rec and GRU4Rec of this project against those of others: processor time to the same quality, and memory.

    python benchmarks/peers.py PATH --minutes 8                       # a folder with interactions and items
    python benchmarks/peers.py --items 100000 --loss sampled          # a generated shop
    python benchmarks/peers.py PATH --backbone bert4rec --at .1
    python benchmarks/peers.py PATH --peers --set dropout=.5 --seed 43  # ours alone, and not as the others

RecTools, RecBole and RePlay are installed into environments of their own (kept for the next time), and each side
trains on the same training histories with the same sizes, one after the other, each on one thread, until its minutes
of processor time are spent or ten epochs in a row were not its best. After every epoch, and ten times in its
minutes, NDCG@10 of validation among all items is taken by the same code for the same users, outside the clock. What a
side has not reached by then is said to be so. Sides are ``peers_*.py``; what each does in its own way is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import made
import numpy as np
import pandas as pd
import torch
from environments import environment
from peers_side import OWN, SHARED, Plan

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest
from llmesr.evaluation.sample import validation_sample
from llmesr.store import Store

TORCH = f"torch=={torch.__version__.partition('+')[0]}"
PEERS = {
    "recbole": [TORCH, "recbole==1.2.1", "numpy<2", "pandas<2.2", "scipy<1.12", "setuptools<81"],
    "replay": [TORCH, "replay-rec[torch]==0.22.0"],
    "rectools": [TORCH, "rectools[torch]==0.19.0"],
}
NAMES = {"rectools": "RecTools 0.19.0", "recbole": "RecBole 1.2.1", "replay": "RePlay 0.22.0", "llmesr": "llmesr id"}
HAVE = {
    "sasrec": {"ce": list(PEERS), "sampled": list(PEERS), "bce": ["rectools"]},
    "bert4rec": {"ce": list(PEERS)},
    "gru4rec": {"ce": ["recbole"]},
}
"""Who has a backbone with a loss that can be compared."""
SHOPPERS = 100_000
"""Users of a generated shop."""
EVERY = {
    "sasrec": "next items at every position",
    "gru4rec": "next items at every position",
    "bert4rec": "hidden items",
}
PREFIXES = "every prefix of a history is an example of its own, padded to 50"
DIFFERS = {
    "llmesr": {
        name: f"batches of similar length, padded to their longest history; {every}" for name, every in EVERY.items()
    },
    "recbole": {
        "sasrec": f"{PREFIXES}, that predicts one item; norm after each sum",
        "bert4rec": f"{PREFIXES}; hidden items; norm after each sum, a layer before the scores",
        "gru4rec": f"{PREFIXES}, that predicts one item; dropout of the input alone, a layer before the scores",
    },
    "replay": {
        "sasrec": "histories padded to 50; next items at every position; Adam's second beta is .98",
        "bert4rec": "histories padded to 50; hidden items; Adam's second beta is .98; of the older part of the library",
    },
    "rectools": {name: f"histories padded to 50; {every}; Adam's second beta is .98" for name, every in EVERY.items()},
}
"""What a side does in its own way, by backbone."""
NEGATIVES = {
    "llmesr": f"softmax over {SHARED:,} drawn items that a batch shares",
    "replay": f"softmax over {SHARED:,} drawn items that a batch shares",
    "rectools": f"softmax over {OWN} drawn items of each position's own",
    "recbole": "softmax over all items, as it has no sampled one",
}


def carried_out(command: list[str], store: Store) -> pd.DataFrame:
    """The lines of a side, one a judgement; why there are none goes to standard error."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    given = {**os.environ, **dict.fromkeys(names, "1"), "LLMESR_ARTIFACTS": str(store.root.resolve())}
    with tempfile.TemporaryDirectory() as scratch:  # libraries leave logs where they are started
        done = subprocess.run(command, capture_output=True, text=True, env=given, cwd=scratch)
    if done.returncode:
        print(f"{Path(command[1]).name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
    return pd.DataFrame([json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"epoch"')])


def written(data: Dataset, users: int, file: Path) -> None:
    """Training histories, and the users of validation that are asked, with their targets."""
    histories = [data.train_history(u) for u in range(data.n_users)]
    starts = np.cumsum([0, *(len(h) for h in histories)])
    items, split = np.concatenate(histories).astype(np.int64), data.split
    asked, target = split.users("valid"), split.targets("valid")
    sample = validation_sample(data, users)
    chosen = np.ones(len(asked), bool) if sample is None else np.isin(asked, sample)
    print(f"{chosen.sum():,} of {len(asked):,} users are asked on validation")
    np.savez(file, items=items, starts=starts, n_items=data.n_items, users=asked[chosen], target=target[chosen])


def table(found: dict[str, pd.DataFrame], at: list[float], minutes: float) -> Iterator[str]:
    """A line for each side: its pace, its best, when ours was as good, the time to qualities asked, its memory."""
    asked = "".join(f" s to {level:.4f} |" for level in at)
    yield f"\n| side | processor s an epoch | epochs | best NDCG@10 (after s) | ours there after s |{asked} peak GB |"
    yield "|---" * (6 + len(at)) + "|"
    own = found.get("llmesr")
    for name, frame in found.items():
        top = frame.loc[frame["NDCG@10"].idxmax()]
        spent, last = frame["cpu"].iloc[-1], frame["epoch"].iloc[-1]
        best = f"{top['NDCG@10']:.4f} ({top['cpu']:.0f})"
        there = "-" if own is None else until(own, top["NDCG@10"], minutes)
        reached = "".join(f" {until(frame, level, minutes)} |" for level in at)
        memory = f"{frame['peak'].max():.2f} ({frame['before'].iloc[0]:.2f} before)"
        yield f"| {NAMES[name]} | {spent / last:.2f} | {last:.1f} | {best} | {there} |{reached} {memory} |"


def until(frame: pd.DataFrame, level: float, minutes: float) -> str:
    """Seconds until a side first reaches ``level``."""
    there = frame[frame["NDCG@10"] >= level]
    if len(there):
        return f"{there['cpu'].iloc[0]:.1f}"
    ended = "" if frame["cpu"].iloc[-1] >= 60 * minutes else ", no longer better"
    return f"not within {frame['cpu'].iloc[-1] / 60:.1f} min{ended}; best {frame['NDCG@10'].max():.4f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--items", type=int, help=f"in place of PATH: items of a generated shop of {SHOPPERS:,} users")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--backbone", choices=list(HAVE), default="sasrec")
    parser.add_argument("--loss", choices=["ce", "sampled", "bce"], default="ce")
    parser.add_argument("--minutes", type=float, default=10, help="of processor time that a side may train")
    parser.add_argument("--patience", type=int, default=10, help="epochs in a row that may be worse than the best")
    parser.add_argument("--asked", type=int, default=4000, help="users of validation, a fixed sample")
    parser.add_argument("--at", nargs="*", type=float, default=[], help="qualities to take the time to")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="default: all who have the backbone")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", dest="own", action="append", default=[], help="NAME=VALUE of our side alone")
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "llmesr-peers")
    args = parser.parse_args()
    if (args.path is None) == (args.items is None):
        parser.error("give either PATH or --items")
    have = HAVE[args.backbone].get(args.loss, [])
    if unable := sorted(set(args.peers or []) - set(have)):
        parser.error(f"{', '.join(unable)}: no {args.backbone} with loss {args.loss}")
    args.peers = have if args.peers is None else args.peers
    args.own = dict(pair.split("=", 1) for pair in args.own)
    return args


def main() -> None:
    args, store = arguments(), Store()
    if args.path is None:
        data = load_dataset(store, made.write(store, SHOPPERS, args.items))
    else:
        data = ingest([args.path], IngestConfig(name=args.path.name, k_core=args.k_core), store)
    seen = int(data.split.train_lengths.sum())
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, {seen:,} interactions in training")
    seconds = 60 * args.minutes
    plan = Plan(args.backbone, args.loss, seconds, seconds / 10, args.patience, args.seed, data.id, args.own)
    found: dict[str, pd.DataFrame] = {}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "data.npz"
        written(data, args.asked, file)
        for name in ("llmesr", *args.peers):
            loss = f"; {NEGATIVES[name]}" if args.loss == "sampled" else ""
            print(f"{NAMES[name]}: {DIFFERS[name][args.backbone]}{loss}", flush=True)
            python = sys.executable if name == "llmesr" else environment(args.environments / name, *PEERS[name])
            side = Path(__file__).with_name(f"peers_{name}.py")
            frame = carried_out([str(python), str(side), str(file), json.dumps(asdict(plan))], store)
            if len(frame):
                found[name] = frame
                print(frame.to_csv(index=False, float_format="%.4f"), file=sys.stderr, flush=True)
    for line in table(found, args.at, args.minutes):
        print(line)


if __name__ == "__main__":
    main()
