"""Item-to-item models beside those of others: seconds to fit, and how well they rank, all in one run.

    python benchmarks/linear_peers.py PATH --name office

PATH is a folder with interactions and items. RecTools' EASE, SANSA and the item models of implicit are installed into
environments of their own (``--environments``, kept for the next time; SANSA needs SuiteSparse's headers). Every side
fits the training part with the same ridge and the same number of neighbours where it has them, on ``--threads``
threads, ``--repeats`` times; the least seconds count. All are judged alike: NDCG@10 and HR@10 of the test items in full
ranking, the history faded by ``--decay`` for every side, no fallback, a tie counting half.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch
from environments import environment
from linear_side import judged, timed

from llmesr.config import EmbedConfig, IngestConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.linear.build import Source, build
from llmesr.linear.interactions import chosen
from llmesr.semantic.embed import embed
from llmesr.store import Store

PEERS = {
    "implicit": ["implicit==0.7.3"],
    "rectools": ["rectools==0.19.0"],
    "sansa": ["scikit-sparse==0.4.16", "sansa==1.1.0"],
}
OTHER_SIDE = Path(__file__).with_name("linear_side.py")
OURS: dict[str, dict[str, Any]] = {
    "item-knn": {"method": "item-knn"},
    "ease, dense": {"method": "ease", "solver": "dense"},
    "ease, local": {"method": "ease", "solver": "local"},
    "text-ease, dense": {"method": "text-ease", "solver": "dense"},
    "text-ease, local": {"method": "text-ease", "solver": "local"},
}


def faded(data: Dataset, decay: float) -> tuple[sparse.csr_matrix, np.ndarray]:
    """(U', N + 1) what is known before each test item, the newest counting 1, and the (U',) test items."""
    users = data.split.users("test")
    histories = [data.history(u) for u in users]
    rows = np.repeat(np.arange(len(users)), [len(h) - 1 for h in histories])
    values = np.concatenate([decay ** np.arange(len(h) - 2, -1, -1.0) for h in histories])
    items = np.concatenate([h[:-1] for h in histories])
    known = sparse.csr_matrix((values, (rows, items)), shape=(len(users), data.n_items + 1))
    return known, np.array([h[-1] for h in histories])


def ours(data: Dataset, text: torch.Tensor, known: Any, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name, settings in OURS.items():
        config = RunConfig.read(None, ridge=args.ridge, item_neighbours=args.neighbours, **settings)
        made, cpu, wall = timed(lambda config=config: build(Source(data, text), config), args.repeats)
        whole = made.whole().numpy()
        yield {"model": f"llmesr {name}", "cpu": cpu, "wall": wall, **judged(whole, lambda b, h: h @ b, *known)}


def theirs(library: str, file: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    try:
        python = environment(args.environments / library, *PEERS[library])
    except subprocess.CalledProcessError as problem:
        print(f"{library} could not be installed ({problem}).", file=sys.stderr)
        return
    command = [str(python), str(OTHER_SIDE), library, str(file), str(args.ridge), str(args.neighbours)]
    command.append(str(args.repeats))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = {**os.environ, **dict.fromkeys(names, str(args.threads))}
    done = subprocess.run(command, capture_output=True, text=True, env=threads)
    if done.returncode:
        print(f"{library} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
    yield from (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--ridge", type=float, default=20.0)
    parser.add_argument("--neighbours", type=int, default=128)
    parser.add_argument("--decay", type=float, default=0.8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "llmesr-linear-peers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    text = torch.from_numpy(embed(data, EmbedConfig(), store).padded())
    train, known = chosen(data), faded(data, args.decay)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, {train.nnz:,} interactions in training")
    print("\n| model | processor s | wall s | NDCG@10 | HR@10 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "data.npz"
        both = {"train": train, "history": known[0]}
        arrays = {
            f"{n}_{k}": v for n, m in both.items() for k, v in (("data", m.data), ("at", m.indices), ("ptr", m.indptr))
        }
        np.savez(file, size=train.shape[1], target=known[1], **arrays)
        sides = [theirs(library, file, args) for library in args.peers]
        for side in (*sides, ours(data, text, known, args)):
            for r in side:
                cells = f"{r['cpu']:.2f} | {r['wall']:.2f} | {r['NDCG@10']:.4f} | {r['HR@10']:.4f}"
                print(f"| {r['model']} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
