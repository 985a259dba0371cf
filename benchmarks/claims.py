"""How often the product would say what is not so: simulated pairs of methods, through the doors that people use.

    python benchmarks/claims.py

Pairs of one and the same method are written as runs and compared by ``compare_runs``, as the command line and Python
do: a side that was stopped early against one trained out, and both trained out. Then the parts, on many experiments:
do 95% intervals over three seeds cover the truth, does a test over users and seeds call equal methods different, and
does the bound of "no clear difference" hold. ``--pairs`` and ``--experiments`` size it, ``--json`` writes the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmesr.config import RunConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.evaluation.comparison import Comparison, compare_runs
from llmesr.evaluation.resampling import intervals, sign_flip_test
from llmesr.evaluation.uncertainty import bound, error_of, t_test, widen
from llmesr.runs.live import Status
from llmesr.runs.record import Run
from llmesr.store import Store

SEEDS = (42, 43, 44)
USERS = 400
LUCK = (0.0, 0.01, 0.03)
"""Standard deviations of what a seed adds to everyone's chance of a hit."""
BLOCK = 200
Array = np.ndarray


def curve(rng: np.random.Generator, pace: float, budget: int, patience: int, noise: float) -> tuple[int, int]:
    """Best and last epoch of early stopping on a noisy validation curve that levels off with ``pace``."""
    best, value, epoch = 0, -np.inf, 0
    while epoch < budget and epoch - best < patience:
        epoch += 1
        now = level(epoch, pace) + noise * rng.normal()
        if now > value:
            best, value = epoch, now
    return best, epoch


def level(epoch: int, pace: float) -> float:
    """The share of users who are hit after so many epochs."""
    return float(0.4 * (1 - np.exp(-epoch / pace)))


def ranks(data: Dataset, skill: float, easy: dict[str, Array], rng: np.random.Generator) -> pd.DataFrame:
    """Ranks of all users under both protocols: a hit (rank 3) with the chance ``skill``, more where it is ``easy``."""
    parts = []
    for part in ("valid", "test"):
        users, targets = data.split.users(part), data.split.targets(part)
        common = {
            "user": users.astype(np.int32),
            "user_id": data.user_ids[users],
            "target": targets.astype(np.int32),
            "target_id": data.catalogue["item_id"].to_numpy()[targets - 1],
            "part": part,
            "history_length": data.split.train_lengths[users].astype(np.int32),
            "target_popularity": data.item_counts[targets].astype(np.int32),
        }
        hit = rng.random(len(users)) < np.clip(skill + easy[part], 0, 1)
        for protocol, candidates in (("full", data.n_items), ("uni100", 101)):
            rank = np.where(hit, 3, 50).astype(np.int32)
            parts.append(pd.DataFrame({**common, "protocol": protocol, "rank": rank, "candidates": candidates}))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs = {"dataset": data.id, "negatives_seed": data.seed}
    return frame


def written(store: Store, data: Dataset, method: str, seed: int, ends: tuple[int, int], frame: pd.DataFrame) -> Run:
    """A finished run of these ranks, whose best and last epochs were ``ends``."""
    config = RunConfig.read(None, method=method, seed=seed, epochs=200, patience=10)
    run = Run.create(store, config, [data.manifest], name=f"{method}-{seed}", device="cpu")
    run.write_results([frame], np.ones((frame["user"].nunique(), 1), np.int32), [])
    run.finish(Status(state="SUCCEEDED", epoch=ends[1], epochs=200), {}, {"best_epoch": ends[0], "epochs": ends[1]})
    return run


def pairs(number: int, early: bool) -> Iterator[Comparison]:
    """Comparisons of one and the same method with itself, three seeds each side. ``early``: the baseline's budget ends
    anywhere up to twice the pace of its curve, the other's is early stopping's own."""
    rng = np.random.default_rng(21 if early else 22)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        data = synthetic.make(store, name="shop", users=USERS, items=150, seed=5)
        for _ in range(number):
            pace = rng.uniform(4, 15)
            easy = {part: rng.normal(0, 0.15, len(data.split.users(part))) for part in ("valid", "test")}
            runs = []
            for method in ("id", "llm-esr"):
                cut = early and method == "id"
                for seed in SEEDS:
                    budget = int(rng.integers(1, max(2, int(2 * pace)))) if cut else 200
                    ends = curve(rng, pace, budget, 10, 0.004)
                    skill = level(ends[0], pace) + 0.01 * rng.normal()
                    runs.append(written(store, data, method, seed, ends, ranks(data, skill, easy, rng)))
            yield compare_runs(store, runs, baseline=runs[0], metrics=("HR@10",))
            for run in runs:
                store.delete("runs", run.id)


def said(number: int, early: bool) -> dict[str, int]:
    """Of so many pairs: where a test tells the two apart in any group, where a sentence says "better" or "worse" of
    them, and where it says so with nothing serious beside it."""
    apart = word = unguarded = 0
    for found in pairs(number, early):
        (verdict,) = found.verdicts
        words = {verdict.word(a) for a in verdict.answers}
        apart += verdict.significant
        word += bool(words & {"better", "worse"})
        unguarded += verdict.significant and not verdict.doubts
    return {"pairs": number, "told apart": apart, "called better or worse": word, "without the guard": unguarded}


def experiments(
    rng: np.random.Generator, number: int, *, luck: float, lift: float = 0.0, seeds: int = 3
) -> tuple[Array, Array]:
    """Two methods (seeds, users, experiments) whose hits share the users' difficulty. ``luck``: standard deviation of
    what a seed adds to everyone's chances; the second method's chances are ``lift`` higher in truth."""
    easy = rng.beta(1.0, 3.0, (1, USERS, number)) * 0.8 + 0.1
    arms = []
    for extra in (0.0, lift):
        chance = easy + extra + luck * rng.normal(size=(seeds, 1, number))
        arms.append((rng.random((seeds, USERS, number)) < np.clip(chance, 0, 1)).astype(float))
    return arms[0], arms[1]


def blocks(seed: int, number: int, luck: float, lift: float = 0.0) -> Iterator[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    for _ in range(0, number, BLOCK):
        yield experiments(rng, min(BLOCK, number), luck=luck, lift=lift)


def coverage_of_differences(number: int, luck: float) -> dict[str, float]:
    """How many 95% intervals hold the true difference of .02: over users and seeds, and over users alone."""
    inside, alone = [], []
    for first, second in blocks(11, number, luck, 0.02):
        difference = second.mean(0) - first.mean(0)
        low, high = intervals(difference, resamples=600)
        wide = widen(difference.mean(0), low, high, error_of(difference, [second, first], [False, False]))
        inside.append((wide[0] <= 0.02) & (wide[1] >= 0.02))
        alone.append((low <= 0.02) & (high >= 0.02))
    return {"users and seeds": share(inside), "users alone": share(alone)}


def coverage_of_values(number: int, luck: float) -> dict[str, float]:
    """The same of the value of one method."""
    inside, alone, truth = [], [], 0.1 + 0.8 * 0.25
    for arm, _ in blocks(12, number, luck):
        mean = arm.mean(0)
        low, high = intervals(mean, resamples=600)
        wide = widen(mean.mean(0), low, high, error_of(mean, [arm], [False]))
        inside.append((wide[0] <= truth) & (truth <= wide[1]))
        alone.append((low <= truth) & (truth <= high))
    return {"users and seeds": share(inside), "users alone": share(alone)}


def false_alarms(number: int, luck: float) -> dict[str, float]:
    """How often p < .05 between equal methods: over users and seeds, and over users alone."""
    false, naive = [], []
    for first, second in blocks(13, number, luck):
        difference = second.mean(0) - first.mean(0)
        flipped = sign_flip_test(difference, resamples=999)
        error = error_of(difference, [second, first], [False, False])
        p = np.maximum(flipped, np.where(error.seeds > 0, t_test(difference.mean(0), error), 0))
        false.append(p < 0.05)
        naive.append(flipped < 0.05)
    return {"users and seeds": share(false), "users alone": share(naive)}


def missed_bounds(number: int) -> float:
    """How often the column *at most* of tables holds less than the difference, either way."""
    missed = []
    for first, second in blocks(14, number, 0.01, 0.03):
        difference = second.mean(0) - first.mean(0)
        missed.append(bound(difference.mean(0), error_of(difference, [second, first], [False, False])) < 0.03)
    return share(missed)


def share(found: list[Array]) -> float:
    return float(np.concatenate(found).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--experiments", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    if args.pairs:
        figures["stopped early"], figures["trained out"] = said(args.pairs, True), said(args.pairs, False)
        print("| one method against itself | " + " | ".join(figures["trained out"]) + " |\n|---" * 1, end="")
        print("|---" * len(figures["trained out"]) + "|")
        for name in ("stopped early", "trained out"):
            print(f"| {name} | " + " | ".join(map(str, figures[name].values())) + " |", flush=True)
    n = args.experiments
    if n:
        parts = {"difference covered": coverage_of_differences, "value covered": coverage_of_values}
        parts["equal methods told apart"] = false_alarms
        print("\n| of experiments with three seeds a side | luck of a seed | users and seeds | users alone |")
        print("|---|---|---|---|")
        for name, part in parts.items():
            figures[name] = {}
            for luck in LUCK:
                figures[name][str(luck)] = found = part(n, luck)
                print(f"| {name} | {luck:g} | " + " | ".join(f"{v:.1%}" for v in found.values()) + " |", flush=True)
        figures["bound missed"] = missed_bounds(n)
        print(f"| a difference larger than the bound | 0.01 | {figures['bound missed']:.1%} | |")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
