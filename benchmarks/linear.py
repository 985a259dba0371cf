"""Linear models on a dataset: quality by group under both protocols, seconds, and the local solver against the inverse.

    python benchmarks/linear.py PATH --name office
    python benchmarks/linear.py --synthetic 100000 20000

PATH is a folder with interactions and items. ``--part valid`` prints what settings may be chosen by. The second form
times the local solver of text-ease on random interactions and vectors of so many users and items (ten interactions a
user, popularity falling as 1 / rank^0.8), and prints the peak memory of the process. Runs already under the artifact
root are reused, with the seconds that they took.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch
from quality import find_or_train

from llmesr.config import GROUPS, EmbedConfig, IngestConfig
from llmesr.data.ingest import ingest
from llmesr.evaluation.table import event_metrics
from llmesr.linear.build import COLUMNS
from llmesr.linear.evidence import Evidence
from llmesr.linear.interactions import gram
from llmesr.linear.kernel import Kernel
from llmesr.linear.local import solve
from llmesr.linear.weights import Columns, Weights
from llmesr.runs.record import Run
from llmesr.semantic.embed import embed
from llmesr.store import Store

PLAIN: dict[str, dict[str, Any]] = {
    "popularity": {"method": "popularity"},
    "semantic-knn": {"method": "semantic-knn"},
    "item-knn": {"method": "item-knn"},
    "markov": {"method": "markov"},
    "ials": {"method": "ials"},
    "ease": {"method": "ease"},
    "text-ease": {"method": "text-ease"},
}
DENSE_AND_LOCAL: dict[str, dict[str, Any]] = {
    "dense": {"solver": "dense"},
    **{f"local {m}": {"solver": "local", "item_neighbours": m} for m in (64, 128, 256)},
}
SOLVERS: dict[str, dict[str, Any]] = {
    f"{method}, {label}, no fallback": {"method": method, "fallback": "none", **settings}
    for method in ("ease", "text-ease")
    for label, settings in DENSE_AND_LOCAL.items()
}
TEXT: dict[str, dict[str, Any]] = {
    f"text-ease, a = {a:g}, no fallback": {"method": "text-ease", "text_weight": a, "fallback": "none"}
    for a in (3.0, 12.0)
}


def quality(args: argparse.Namespace) -> None:
    """One table per protocol: contenders down, groups across, and the seconds of training."""
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    vectors = embed(data, EmbedConfig(), store)
    contenders = {**PLAIN, **({} if args.plain else {**SOLVERS, **TEXT})}
    if importlib.util.find_spec("implicit") is None:
        contenders.pop("ials")
    found: dict[str, Run] = {}
    for label, settings in contenders.items():
        found[label] = find_or_train(data, vectors, settings, store, args.device)
        print(f"{label}: {found[label].manifest.timings['train']:.1f} s", file=sys.stderr, flush=True)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}")
    for protocol in ("full", "uni100"):
        print(f"\n{protocol}, {args.part}: NDCG@10, then HR@10 of all and of tail items\n")
        print("| method | " + " | ".join(GROUPS) + " | HR@10 | tail HR@10 | seconds |\n|---" + "|---" * 8 + "|")
        for label, run in found.items():
            frame = run.per_user()
            values = event_metrics(frame[frame["part"] == args.part], data.thresholds)
            wanted = [(g, "NDCG@10") for g in GROUPS] + [("Overall", "HR@10"), ("Tail Item", "HR@10")]
            cells = [f"{values[f'{protocol}/{g}/{m}']:.4f}" for g, m in wanted]
            print(f"| {label} | " + " | ".join(cells) + f" | {run.manifest.timings['train']:.1f} |")
    for label, run in found.items():
        if agreement := run.manifest.info.get("agreement"):
            print(f"\n{label} against the inverse: {agreement}")


def synthetic(users: int, items: int, neighbours: int, dimension: int) -> None:
    """Seconds of every step and the peak memory, on random data of that size."""
    rng = np.random.default_rng(0)
    weight = np.arange(1, items + 1) ** -0.8
    drawn = rng.choice(items, users * 10, p=weight / weight.sum()) + 1
    chosen = sparse.csr_matrix(
        (np.ones(len(drawn), np.float32), (np.repeat(np.arange(users), 10), drawn)), shape=(users, items + 1)
    )
    chosen.data[:] = 1.0
    vectors = torch.randn(items + 1, dimension, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    started = time.perf_counter()
    counts = gram(chosen)
    print(f"{users:,} users, {items:,} items, {chosen.nnz:,} interactions, {counts.nnz:,} pairs")
    print(f"counting pairs: {time.perf_counter() - started:.1f} s", flush=True)
    evidence = Evidence(counts, [Kernel.of(vectors, 6.0, 2.0)])
    started, before, parts = time.perf_counter(), time.process_time(), []
    for part in torch.split(torch.arange(1, items + 1), COLUMNS):
        parts.append(solve(evidence, part, ridge=20.0, neighbours=neighbours))
        spent = time.perf_counter() - started
        print(f"{int(part[-1]):,} items: {spent:.1f} s, peak {_peak():.2f} GB", file=sys.stderr, flush=True)
    weights = Weights.sparse(Columns.joined(parts))
    size = sum(t.numel() * t.element_size() for t in weights.tensors().values()) / 1e9
    busy = time.process_time() - before
    print(f"text-ease, local {neighbours}: {spent:.1f} s ({busy:.1f} s of all cores), weights {size:.2f} GB")
    print(f"peak memory {_peak():.2f} GB")


def _peak() -> float:
    """Of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--name", default="shop")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--part", choices=["valid", "test"], default="test")
    parser.add_argument("--plain", action="store_true", help="each method with its defaults only")
    parser.add_argument("--synthetic", type=int, nargs=2, metavar=("USERS", "ITEMS"))
    parser.add_argument("--neighbours", type=int, default=128)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.synthetic:
        users, items = args.synthetic
        synthetic(users, items, args.neighbours, args.dimension)
    elif args.path:
        quality(args)
    else:
        parser.error("give a PATH or --synthetic USERS ITEMS")


if __name__ == "__main__":
    main()
