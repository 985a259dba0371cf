"""What a training step costs as the catalogue grows, with dense and with sparse updates of the item vectors.

    python benchmarks/tables.py --items 100000 1000000
    python benchmarks/tables.py --items 300000 --sharded 2          # memory and time of each of two processes
    python benchmarks/tables.py --text --items 100000 1000000       # item text in memory, and read from its file
    python benchmarks/tables.py --teachers --users 100000 1000000   # the states of all users, the same two ways
    python benchmarks/tables.py --quality PATH                      # the test of both, over three seeds
    python benchmarks/tables.py --quality PATH --method llm-esr --compare storage      # text in 32, 16 and 8 bits
    python benchmarks/tables.py --quality PATH --method llm-esr --compare storage --set loss=sampled   # larger data

PATH is a folder with interactions and items. Processor time, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from made import write
from safetensors.numpy import save_file

from llmesr.config import EmbedConfig, IngestConfig, RunConfig, parse_overrides
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest
from llmesr.data.split import Part
from llmesr.evaluation.table import event_metrics
from llmesr.processes import joined
from llmesr.retrieval.similar import NEIGHBOURS, load_similar
from llmesr.semantic.embed import Embedding, embed
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store
from llmesr.training import user_states
from llmesr.training.stopping import Stopped
from llmesr.training.train import train

UPDATES = ("dense", "sparse")
COMPARED = {
    "updates": UPDATES,
    "storage": ("float32", "float16", "int8"),
    "negatives": ("ce", "0", "0.25", "0.5", "1"),
    "batches": ("users", "positions"),
}
"""By the choice of --compare; of negatives the loss over the whole catalogue, and shares drawn by popularity."""
EMBEDDING, WARM = 384, 3
ITEMS, SHORT = 10_000, 64
"""The catalogue where users grow, and the size of its text vectors."""
MEMBER = "member "
"""How a line begins that one of several processes prints."""


class Watch:
    """Processor time after each step; enough after ``steps`` of them."""

    def __init__(self, steps: int) -> None:
        self.steps, self.times = steps + WARM, list[float]()

    def progress(self, stage: str, done: int, total: int) -> None:
        """A listener of :func:`~llmesr.training.train.train`."""
        if stage.startswith("training"):
            self.times.append(time.process_time())

    def enough(self) -> bool:
        """Whether all steps are done."""
        return len(self.times) > self.steps

    def end(self) -> bool:
        """Stop when all steps are done, also after a validation."""
        if self.enough():
            raise Stopped
        return False

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


def sharded(items: list[int], steps: int, processes: int) -> None:
    """Print what each of several processes holds and takes, with a table in every process and with one over all."""
    print("| items | table | process | GB before | peak GB | ms a step |\n|---|---|---|---|---|---|")
    for n in items:
        with tempfile.TemporaryDirectory() as scratch:
            data = write(Store(scratch), 20_000, n)
            for updates, said in (("sparse", "replicated"), ("sharded", "sharded")):
                team = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
                for line in members(scratch, data, steps, team, method="id", item_updates=updates):
                    print(f"| {n:,} | {said} | {line} |", flush=True)


def text(items: list[int], method: str, storage: str) -> None:
    """Print what a process holds and takes whose item text is in memory, and in its file: an epoch of 157 steps, with
    what it begins with, a checkpoint and a validation on 200 users."""
    print(f"| items, text in {storage} | text | process | GB before | peak GB | ms a step |\n|---|---|---|---|---|---|")
    for n in items:
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(scratch)
            data = load_dataset(store, write(store, 20_000, n))
            rows = np.random.default_rng(0).standard_normal((n, EMBEDDING), np.float32)
            file = write_vectors(Path(scratch) / "vectors.npz", rows, data.catalogue["item_id"].tolist())
            embed(data, EmbedConfig.read(None, embedder=f"file:{file}", storage=storage), store)
            del rows
            for where in ("memory", "file"):
                settings = {"method": method, "text_table": where, "validation_users": 200}
                for line in members(scratch, data.id, 160, [], **settings):
                    print(f"| {n:,} | {where} | {line} |", flush=True)


def teachers(users: list[int], steps: int, processes: int) -> None:
    """Print what a process of ``llm-esr`` holds and takes whose teachers are in memory, and in their file: with 10,000
    items, short text and anybody as similar users, from before training to a checkpoint within the first epoch."""
    team = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    print("| users | teachers | process | GB before | peak GB | ms a step | s until there were steps |")
    print("|---|---|---|---|---|---|---|")
    for n in users:
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(scratch)
            data = load_dataset(store, write(store, n, ITEMS))
            rows = np.random.default_rng(0).standard_normal((ITEMS, SHORT), np.float32)
            file = write_vectors(Path(scratch) / "vectors.npz", rows, data.catalogue["item_id"].tolist())
            embedding = embed(data, EmbedConfig.read(None, embedder=f"file:{file}", storage="float16"), store)
            anybody(store, data, embedding)
            for where in ("memory", "file"):
                for line in members(scratch, data.id, steps, team, method="llm-esr", teachers=where):
                    print(f"| {n:,} | {where} | {line} |", flush=True)


def anybody(store: Store, data: Dataset, embedding: Embedding) -> None:
    """Ten users for each, in place of the similar ones: a step of training costs the same."""
    users = np.random.default_rng(0).integers(0, data.n_users, (data.n_users, 10), np.int32)
    with store.draft("neighbours", "some", name="some", parents=[data.manifest, embedding.manifest]) as draft:
        save_file({"users": users, "similarity": np.zeros(users.shape, np.float32)}, draft.path / NEIGHBOURS)


def members(root: str, dataset: str, steps: int, team: list[str], **settings: Any) -> list[str]:
    """What processes say of themselves that train with these settings."""
    call = [sys.executable, *team, __file__, "--member", root, dataset, json.dumps(settings), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return sorted(line.removeprefix(MEMBER) for line in told.splitlines() if line.startswith(MEMBER))


def member(root: str, dataset: str, settings: dict[str, Any], steps: int) -> None:
    """Some steps and a checkpoint as one of several processes; prints the memory before, the highest, and the time."""
    watch, store = Watch(steps), Store(root)
    data = load_dataset(store, dataset)
    if where := settings.pop("teachers", None):
        user_states.IN_FILE_FROM = 0 if where == "file" else sys.maxsize
    config = RunConfig.read(None, loss="sampled", **settings)
    with joined(torch.device("cpu")) as processes:
        before = psutil.Process().memory_info().rss / 2**30
        with contextlib.suppress(Stopped):
            enough = watch.end if "validation_users" in settings else watch.enough
            options: dict[str, Any] = {"enough": enough, "progress": watch.progress, "processes": processes}
            if where:
                options["similar"] = load_similar(store, "some")
            begun = time.process_time()
            train(data, config, store, device="cpu", **options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        until = f" | {watch.times[0] - begun:,.0f}" if where else ""
        print(f"{MEMBER}{processes.rank} | {before:.2f} | {peak:.2f} | {watch.seconds * 1000:,.1f}{until}", flush=True)


def trained_by(compared: str, way: str) -> dict[str, Any]:
    """The settings of a run."""
    if compared == "updates":
        return {"loss": "sampled", "item_updates": way}
    if compared == "negatives":
        return {"loss": "ce"} if way == "ce" else {"loss": "sampled", "popular_negatives": float(way)}
    return {"batches": way} if compared == "batches" else {}


def quality(
    path: Path, name: str, method: str, compared: str, seeds: list[int], own: dict[str, Any], part: Part
) -> None:
    """Print NDCG@10 by group, full and uni100, for the seeds of each way."""
    columns = [(of, group) for of in ("full", "uni100") for group in ("Overall", "Tail Item", "Head Item", "Tail User")]
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch)
        data = ingest([path], IngestConfig.read(None, name=name), store)
        print(f"| method | {compared} | seed | best epoch | {' | '.join(f'{of} {g}' for of, g in columns)} |")
        print(f"|---|---|---|---|{'---|' * len(columns)}")
        for way in COMPARED[compared]:
            stored = {"storage": way} if compared == "storage" else {}
            text = None if method == "id" else embed(data, EmbedConfig.read(None, **stored), store)
            for seed in seeds:
                config = RunConfig.read(None, **{"method": method, "seed": seed, **trained_by(compared, way), **own})
                run = train(data, config, store, embedding=text)
                frame = run.per_user()
                found = event_metrics(frame[frame["part"] == part], data.thresholds, ["NDCG@10"])
                said = [method, way, str(seed), str(run.manifest.info["best_epoch"])]
                said += [f"{found[f'{of}/{group}/NDCG@10']:.4f}" for of, group in columns]
                print(f"| {' | '.join(said)} |", flush=True)


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sharded", type=int, metavar="PROCESSES", help="compare whole tables with one over processes")
    parser.add_argument("--text", action="store_true", help="compare item text in memory with text in its file")
    parser.add_argument("--teachers", action="store_true", help="compare teachers in memory with those in a file")
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000], help="with --teachers")
    parser.add_argument("--processes", type=int, default=1, help="with --teachers")
    parser.add_argument("--storage", choices=COMPARED["storage"], default="float16")
    parser.add_argument("--member", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--quality", type=Path, help="a folder with interactions and items")
    parser.add_argument("--name", default="data")
    parser.add_argument("--method")
    parser.add_argument("--compare", choices=list(COMPARED), default="updates")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--set", action="append", default=[], help="key=value for every run of --quality")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    asked = parser.parse_args()
    if asked.member:
        member(asked.member[0], asked.member[1], json.loads(asked.member[2]), asked.steps)
    elif asked.text:
        text(asked.items, asked.method or "llm-esr", asked.storage)
    elif asked.teachers:
        teachers(asked.users, asked.steps, asked.processes)
    elif asked.sharded:
        sharded(asked.items, asked.steps, asked.sharded)
    elif asked.quality:
        own = {"epochs": asked.epochs, **parse_overrides(asked.set)}
        quality(asked.quality, asked.name, asked.method or "id", asked.compare, asked.seeds, own, asked.part)
    else:
        speed(asked.items, asked.steps)


if __name__ == "__main__":
    main()
