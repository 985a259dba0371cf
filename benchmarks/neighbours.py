"""A hundred similar users for each of many, beside exact search: seconds, peak memory, and the recall there really is.

    python benchmarks/neighbours.py --users 500000       # llmesr neighbours; FAISS's flat index on a sample
    python benchmarks/neighbours.py --users 50000 --set exact_up_to=100000

The users are made as they are in life: items in 200 clusters of uneven size (`maps.py`), a user likes three of them and
chooses about six items, bestsellers more often; a user's vector is the mean of the items' vectors, 384 numbers. Each
side runs in a process of its own. Recall is measured on users drawn for that purpose, against exact search in all
vectors, by the scores (among equals any choice is right). Exact FAISS searches for a sample of the users; its time for
all of them is extrapolated from that, and the table says so.
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

import numpy as np
import pandas as pd
import torch
from maps import vectors  # type: ignore[attr-defined]  # the file beside this one, not tests/maps
from safetensors.numpy import save_file

from llmesr.config import EmbedConfig, NeighbourConfig, parse_overrides
from llmesr.data.dataset import load_dataset, write_dataset
from llmesr.retrieval import exact
from llmesr.retrieval.similar import SimilarUsers, load_similar, similar_users
from llmesr.semantic.embed import ITEM_IDS, VECTORS, histories_digest, load_embedding, user_vectors
from llmesr.semantic.embedders import open_embedder
from llmesr.store import Store

WIDTH, CLUSTERS, INTERESTS = 384, 200, 3
MEAN_CHOICES, LEAST_CHOICES = 8, 4  # the last two of each history are validation and test


def histories(users: int, items: int) -> pd.DataFrame:
    """user, item: choices from three clusters of each user's own, by popularity within a cluster (Zipf)."""
    rng = np.random.default_rng(7)
    lengths = LEAST_CHOICES - 1 + rng.geometric(1 / (MEAN_CHOICES - LEAST_CHOICES + 1), users)
    user = np.repeat(np.arange(users), lengths)
    liked = (CLUSTERS * rng.random((users, INTERESTS)) ** 2).astype(np.int64)
    cluster = liked[user, rng.integers(0, INTERESTS, len(user))]
    size = items // CLUSTERS
    place = (size ** rng.random(len(user))).astype(np.int64) - 1  # log-uniform: Zipf with exponent 1
    frame = pd.DataFrame({"user": user, "item": 1 + cluster + CLUSTERS * place})
    return frame


def item_vectors(items: int) -> np.ndarray:
    """(items, WIDTH) of length 1; item number modulo CLUSTERS is its cluster."""
    made = vectors(items, WIDTH, 0, cluster=np.arange(items) % CLUSTERS)
    unit: np.ndarray = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def prepare(store: Store, users: int) -> None:
    """A dataset and its embedding on disk."""
    items = max(CLUSTERS, users // 5 // CLUSTERS * CLUSTERS)
    names = pd.DataFrame({"item_id": [f"i{i}" for i in range(items)]})
    names["title"] = names["item_id"]
    ids = [f"u{u}" for u in range(users)]
    with store.draft("datasets", "many", name="many", seed=1) as draft:
        write_dataset(draft, interactions=histories(users, items), user_ids=ids, catalogue=names)
    dataset = load_dataset(store, "many")
    table, config = item_vectors(items), EmbedConfig()
    means = user_vectors(dataset, table, config, open_embedder(config, store), store)
    with store.draft("embeddings", "many-text", name="text", parents=[dataset.manifest]) as draft:
        draft.manifest.info = {"fingerprint": "made", "histories": histories_digest(dataset), "dimension": WIDTH}
        save_file({"items": table, "users": means}, draft.path / VECTORS)
        names[["item_id"]].to_parquet(draft.path / ITEM_IDS, index=False)


def ours(store: Store, overrides: list[str]) -> dict[str, object]:
    """`llmesr neighbours`: search, write, load."""
    config = NeighbourConfig.read(None, **parse_overrides(overrides))
    dataset, embedding = load_dataset(store, "many"), load_embedding(store, "many-text")
    before, started, processor = _peak(), time.perf_counter(), time.process_time()
    found = similar_users(dataset, embedding, config, store)
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor,
        "peak": _peak(),
        "above": _peak() - before,
        "id": found.id,
        "engine": found.manifest.info["engine"],
        "claimed": found.recall,
        "neighbours": config.neighbours,
    }


def faiss_flat(store: Store, sample: int, k: int) -> dict[str, object]:
    """FAISS's exact index as it is, for ``sample`` of the users."""
    import faiss

    embedding = load_embedding(store, "many-text")
    faiss.omp_set_num_threads(torch.get_num_threads())
    chosen = _chosen(len(embedding.user_vectors), sample)
    before, started, processor = _peak(), time.perf_counter(), time.process_time()
    base = embedding.user_vectors.copy()
    faiss.normalize_L2(base)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(base)
    made, made_processor = time.perf_counter() - started, time.process_time() - processor
    started, processor = time.perf_counter(), time.process_time()
    index.search(base[chosen], k + 1)
    times = len(base) / len(chosen)
    return {
        "seconds": made + times * (time.perf_counter() - started),
        "processor": made_processor + times * (time.process_time() - processor),
        "peak": _peak(),
        "above": _peak() - before,
    }


def measured_recall(store: Store, found: SimilarUsers, sample: int) -> float:
    """Share of the true neighbours that ``found`` has, on ``sample`` users, against exact search."""
    table = load_embedding(store, "many-text").user_vectors
    units = table / np.linalg.norm(table, axis=1, keepdims=True)
    chosen = _chosen(len(units), sample)
    rows, scores = exact.search(units, units[chosen], found.users.shape[1] + 1)
    own = rows == chosen[:, None]
    own[~own.any(axis=1), -1] = True
    truth = scores[~own].reshape(len(chosen), -1)
    assert (found.users[chosen] >= 0).all()
    given = np.einsum("qe,qke->qk", units[chosen], units[found.users[chosen]])
    worst = truth.min(axis=1, keepdims=True)
    return float((given >= worst - 1e-5 * np.abs(worst)).mean())


def _chosen(users: int, sample: int) -> np.ndarray:
    return np.sort(np.random.default_rng(12345).choice(users, min(sample, users), replace=False))


def _peak() -> float:
    """High-water mark of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def child(side: str, root: str, given: argparse.Namespace) -> dict[str, object]:
    """One side in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, f"--side={side}", f"--root={root}", f"--users={given.users}"]
    command += [f"--sample={given.sample}", *(f"--set={pair}" for pair in given.set)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def side(given: argparse.Namespace) -> dict[str, object]:
    store = Store(given.root)
    if given.side == "prepare":
        prepare(store, given.users)
        return {}
    if given.side == "ours":
        return ours(store, given.set)
    return faiss_flat(store, given.sample, NeighbourConfig.read(None, **parse_overrides(given.set)).neighbours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--sample", type=int, default=1_000, help="users for recall and for exact FAISS")
    parser.add_argument("--set", action="append", default=[], help="a setting of the search: key=value")
    parser.add_argument("--side", choices=("prepare", "ours", "flat"), help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))))
    if given.side:
        print(json.dumps(side(given)))
        return
    with tempfile.TemporaryDirectory() as root:
        child("prepare", root, given)
        own, flat = child("ours", root, given), child("flat", root, given)
        store = Store(root)
        recall = measured_recall(store, load_similar(store, str(own["id"])), given.sample)
    copy = given.users * WIDTH * 4 / 1e9
    print(f"{own['neighbours']} neighbours of {given.users:,} users, {torch.get_num_threads()} threads")
    print(f"One copy of the vectors is {copy:.2f} GB\n")
    print("| side | seconds | processor s | peak GB | above the loaded data, GB | recall |\n|---|---|---|---|---|---|")
    name = f"llmesr ({own['engine']}; claims {own['claimed']:.3f})"
    for label, row, found in ((name, own, f"{recall:.3f}"), ("FAISS flat, extrapolated from a sample", flat, "1")):
        figures = (f"{row[key]:.1f}" for key in ("seconds", "processor", "peak", "above"))
        print(f"| {label} | {' | '.join(figures)} | {found} |")


if __name__ == "__main__":
    main()
