"""How fast ranks, metrics and comparisons are, and how much memory they take, beside doing it the plain way.

    python benchmarks/evaluation.py ranking --users 100000 --items 100000     # blocks against a naive matrix
    python benchmarks/evaluation.py compare --users 22000 --runs 6 --seeds 3  # tables, intervals, tests, verdicts

The naive side holds all scores and sorts them; it runs on ``--naive-users`` of the same users in a process of its own
(peak memory is a high-water mark), and the ranks of both sides are checked against each other. Scores are random
dot products of 64 numbers. CPU seconds are given beside wall seconds: they hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.evaluation.ranks import evaluate
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.table import metric_table
from llmesr.evaluation.values import Contenders
from llmesr.evaluation.verdict import Verdict, verdicts
from llmesr.store import Manifest

SIZE = 64
MEAN_HISTORY = 8


def generated(users: int, items: int) -> Dataset:
    """Histories of about 8 items with a heavy-tailed popularity, in memory only."""
    rng = np.random.default_rng(0)
    lengths = 2 + rng.geometric(1 / (MEAN_HISTORY - 2), users)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    chosen = np.minimum(items, rng.pareto(1.0, offsets[-1]) * items / 50 + 1).astype(np.int32)
    names = np.array([f"u{u}" for u in range(users)], dtype=object)
    catalogue = pd.DataFrame({"item_id": [f"i{i}" for i in range(1, items + 1)], "title": ""})
    manifest = Manifest(kind="datasets", id="generated", name="generated", seed=42)
    return Dataset(manifest, offsets, chosen, None, names, catalogue)


class DotProduct:
    """Fixed random vectors of users and items."""

    def __init__(self, users: int, items: int, device: str) -> None:
        generator = torch.Generator().manual_seed(1)
        self.users = torch.randn(users, SIZE, generator=generator).to(device)
        self.items = torch.randn(items + 1, SIZE, generator=generator).to(device)

    def score(self, sequences: Tensor, users: Tensor | None) -> Tensor:
        assert users is not None
        return self.users[users] @ self.items.T


def in_blocks(users: int, items: int, device: str, top: int) -> dict[str, Any]:
    """Ranks of everyone under both protocols, as the project does it."""
    data, scorer = generated(users, items), DotProduct(users, items, device)
    before, started, cpu = _peak(), time.perf_counter(), time.process_time()
    found = evaluate(scorer, data, "test", device=device, top=top)
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu, "memory": _peak() - before}
    full = found.frame[found.frame["protocol"] == "full"]
    return {**spent, "ranks": full["rank"].to_numpy()}


def naive(users: int, items: int, first: int) -> dict[str, Any]:
    """All scores of the first users at once, seen items out, ranks and top 20 by sorting."""
    data, scorer = generated(users, items), DotProduct(users, items, "cpu")
    before, started, cpu = _peak(), time.perf_counter(), time.process_time()
    targets = data.split.targets("test")[:first]
    scores = scorer.score(torch.empty(0), torch.arange(first)).numpy()
    scores[:, 0] = -np.inf
    for u in range(first):
        seen = data.history(u)[:-1]
        if targets[u] not in seen:  # a repeat is ranked among all items
            scores[u, seen] = -np.inf
    order = np.argsort(-scores, axis=1)
    ranks = 1 + np.argmax(order == targets[:, None], axis=1)
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu, "memory": _peak() - before}
    return {**spent, "ranks": ranks}


def ranking(users: int, items: int, naive_users: int, device: str) -> None:
    """Both sides in turn."""
    print(f"{users:,} users x {items:,} items on {device}, {torch.get_num_threads()} threads")
    print("| side | users | seconds | CPU s | users/s | memory above the data, MiB |\n|---|---|---|---|---|---|")
    ours = _apart(in_blocks, users, items, device, 20)
    fast = _apart(in_blocks, users, items, device, 0)
    plain = _apart(naive, users, items, naive_users)
    for name, count, side in (
        ("blocks, ranks and top 20, full and uni100", users, ours),
        ("blocks, ranks alone, full and uni100", users, fast),
        ("naive matrix, full alone", naive_users, plain),
    ):
        rate, memory = count / side["seconds"], side["memory"] / 2**20
        print(f"| {name} | {count:,} | {side['seconds']:.1f} | {side['cpu']:.1f} | {rate:,.0f} | {memory:,.0f} |")
    apart = np.abs(ours["ranks"][:naive_users] - plain["ranks"])
    assert apart.max() <= 3, "the two sides disagree"  # matrix products of other shapes round otherwise
    print(f"Ranks of the two sides differ for {(apart > 0).mean():.1%} of users, by {apart.max()} at most (rounding).")
    print(f"The naive matrix and its order for all users would take {users * items * 12 / 2**30:,.0f} GiB.")


def comparing(users: int, runs: int, seeds: int) -> None:
    """The Compare page's work: a table per run, intervals, tests against the first run, verdicts."""
    rng = np.random.default_rng(0)
    common = {"user": np.arange(users), "user_id": [f"u{u}" for u in range(users)], "target": 1, "target_id": "i1"}
    common |= {"part": "test", "candidates": 101, "history_length": rng.geometric(0.2, users)}
    base = pd.DataFrame({**common, "target_popularity": rng.geometric(0.1, users)})
    hard = rng.random(users)

    def frame(skill: float, protocol: str) -> pd.DataFrame:
        place = np.clip(hard + 0.2 * rng.normal(size=users), 0, 1) ** skill
        return base.assign(protocol=protocol, rank=1 + np.floor(place * 100).astype(int))

    found = {
        f"run {r}": [pd.concat([frame(1 + r / 10, p) for p in ("full", "uni100")]) for _ in range(seeds)]
        for r in range(runs)
    }
    limits = Thresholds(item=10, user=6)
    print(f"{runs} configurations x {seeds} seeds, {users:,} users, both protocols, HR@10 and NDCG@10")
    print("| step | seconds | CPU s |\n|---|---|---|")
    each = [frame for frames in found.values() for frame in frames]
    _timed("metric tables", lambda p: [metric_table(f, limits, protocol=p) for f in each])
    for which in ("named", "all"):
        options: dict[str, Any] = {"groups": which}
        _timed(f"intervals, {which} groups", partial(_summary, found, limits, options))
        tests = _timed(f"tests and verdicts, {which} groups", partial(_tests, found, limits, options))
        assert len(tests) == 2 * (runs - 1)


def _summary(found: Contenders, limits: Thresholds, options: dict[str, Any], protocol: str) -> pd.DataFrame:
    return summary(found, limits, protocol=protocol, **options)


def _tests(found: Contenders, limits: Thresholds, options: dict[str, Any], protocol: str) -> list[Verdict]:
    return verdicts(compare(found, limits, protocol=protocol, **options), doubts=[])


def _timed(name: str, work: Callable[[str], Any]) -> Any:
    """``work`` for one protocol and then the other, as a line of the table; the last result."""
    started, cpu = time.perf_counter(), time.process_time()
    result = [work(protocol) for protocol in ("full", "uni100")][-1]
    print(f"| {name} | {time.perf_counter() - started:.2f} | {time.process_time() - cpu:.2f} |")
    return result


def _peak() -> int:
    """High-water mark of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _apart(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ranking")
    one.add_argument("--users", type=int, default=100_000)
    one.add_argument("--items", type=int, default=100_000)
    one.add_argument("--naive-users", type=int, default=1_000)
    one.add_argument("--device", default="cpu")
    two = commands.add_parser("compare")
    two.add_argument("--users", type=int, default=22_000)
    two.add_argument("--runs", type=int, default=6)
    two.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    if given.command == "ranking":
        ranking(given.users, given.items, given.naive_users, given.device)
    else:
        comparing(given.users, given.runs, given.seeds)


if __name__ == "__main__":
    main()
