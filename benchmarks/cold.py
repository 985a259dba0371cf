"""Items that nobody chose before the first cut: which ideas of other systems find them, and do they know for whom?

    llmesr fetch complete-journey
    python benchmarks/cold.py DOWNLOADS/complete-journey --name journey40 --users 1000 --k-core 40 \\
        --valid-from 0.4 --test-from 0.7 --set embedding_size=32 --set layers=1

The rows are those of related.py that ``--only`` names (their cheap ones by default), then llm-init with the content
term, weak users of llm-init handed to text-ease, and with ``--tuned`` item vectors of a text model that was tuned
first, read by text-ease, semantic-knn and the content term. Two questions stand apart: whether a cold item comes
forward among all items (NDCG@10, beside an order by chance), and whether it is the right cold item for the user
(``among the cold``: how many of the other cold items stand behind it, beyond an order that is the same for everybody;
on average over users, by chance .5).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from quality import find_or_train
from related import BASELINE, ROWS, TEACHER
from splits import drawn
from torch import Tensor

from llmesr.config import (
    COLD,
    AllocationConfig,
    EmbedConfig,
    FinetuneConfig,
    IngestConfig,
    SplitConfig,
    has_backbone,
    parse_overrides,
)
from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.data.splitting import resplit
from llmesr.evaluation import statistics
from llmesr.evaluation.questions import Questions
from llmesr.evaluation.ranks import PROTOCOLS, Scores, evaluate
from llmesr.evaluation.resampling import intervals
from llmesr.evaluation.values import per_user
from llmesr.runs.finetune import find_finetune
from llmesr.runs.record import Run
from llmesr.scoring.allocation.allocate import allocate
from llmesr.scoring.allocation.rankers import by_run
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.units import Units
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.studies.judges import GAMMA
from llmesr.training.finetune import finetune

CHANCE = "by chance"
UNTRAINED: dict[str, dict[str, Any]] = {
    "popularity": {"method": "popularity"},
    "semantic-knn": {"method": "semantic-knn"},
}
CHEAP = [
    TEACHER,
    "id",
    BASELINE,
    "llm-init, graph steps 1",
    "codes, projections",
    "codes, residual",
    "generative",
    "llm-init, list of text-ease",
]
TUNINGS: dict[str, dict[str, Any]] = {
    "SCFT": {"objective": "attributes"},
    "co_chosen": {"objective": "co_chosen", "targets": "hard", "normalise": True, "temperature": 0.05},
    "preferences": {"objective": "preferences", "users": "mean"},
}
BATCH = 128


class AtRandom:
    """Scores that know nothing, the same ones each time."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    def score(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        assert users is not None
        return torch.stack([torch.rand(self.n_items + 1, generator=_seeded(int(user))) for user in users])


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Arm:
    """One row: the ranks of each seed, and :func:`among_the_cold` of each."""

    frames: list[pd.DataFrame]
    among: list[np.ndarray]


def among_the_cold(scorer: Scores, data: Dataset, max_length: int) -> np.ndarray:
    """(users with a cold target,) how many of the cold items that the user does not choose stand behind those that are
    chosen, halves for equals. An order that is the same for everybody counts nothing: of each user's scores, brought to
    one scale, each item's mean over the users is taken off first."""
    cold = torch.from_numpy(np.flatnonzero(data.thresholds.cold_items(np.asarray(data.item_counts)[1:])) + 1)
    asked = Questions(data, "test", Sequences(data), max_length)
    owners = np.unique(asked.pairs[0][np.isin(asked.pairs[1], cold.numpy())])
    scores, own, other = [], [], []
    with torch.no_grad():
        for start in range(0, len(owners), BATCH):
            batch = asked.batch(owners[start : start + BATCH])
            scores.append(scorer.score(batch.inputs, batch.users)[:, cold].float())  # (B, cold)
            own.append((batch.targets[:, :, None] == cold).any(1))
            other.append(~own[-1] & ~(batch.seen[:, :, None] == cold).any(1))
    table = torch.cat(scores)
    table = (table - table.mean(1, keepdim=True)) / table.std(1, keepdim=True).clamp(min=1e-6)
    table = table - table.mean(0)
    found = []
    for score, mine, theirs in zip(table, torch.cat(own), torch.cat(other), strict=True):
        gap = score[mine][:, None] - score[theirs]
        found.append(float(((gap > 0).float() + 0.5 * (gap == 0)).mean()) if gap.numel() else np.nan)
    return np.asarray(found)


def judged(data: Dataset, scorers: Sequence[Scores], max_length: int) -> Arm:
    frames = [evaluate(s, data, "test", top=0, max_length=max_length).frame for s in scorers]
    return Arm(frames, [among_the_cold(s, data, max_length) for s in scorers])


def of_runs(data: Dataset, runs: list[Run], store: Store, max_length: int) -> Arm:
    opened = [ScoredRun(store, run, dataset=data).under() for run in runs]
    return Arm([run.per_user() for run in runs], [among_the_cold(s, data, max_length) for s in opened])


def trained(data: Dataset, vectors: Embedding, args: argparse.Namespace, store: Store) -> dict[str, list[Run]]:
    """The runs of each row, one a seed where it has luck."""
    found: dict[str, list[Run]] = {}
    for label, given in {**UNTRAINED, **{label: ROWS[label] for label in args.only}}.items():
        neural = has_backbone(given["method"])
        settings = {"max_length": args.max_length, **given, **(parse_overrides(args.set) if neural else {})}
        if "teacher" in settings:
            settings["teacher"] = found[TEACHER][0].id
        seeds = args.seeds if neural else args.seeds[:1]
        started = time.perf_counter()
        found[label] = [find_or_train(data, vectors, {**settings, "seed": seed}, store, "cpu") for seed in seeds]
        say(label, started)
    return found


def composed(
    data: Dataset, runs: dict[str, list[Run]], args: argparse.Namespace, store: Store
) -> Iterator[tuple[str, Arm]]:
    """What is made of the trained runs: the content term, and weak users handed over."""
    if BASELINE not in runs:
        return
    opened = [ScoredRun(store, run, dataset=data) for run in runs[BASELINE]]
    yield f"{BASELINE} + content term", judged(data, [with_content(o) for o in opened], args.max_length)
    if TEACHER in runs:
        config = AllocationConfig(share=0.3)
        made = [allocate(o, by_run(ScoredRun(store, runs[TEACHER][0], dataset=data), o), config) for o in opened]
        handed = [made_of.run for made_of in made if made_of.run is not None]
        yield f"{BASELINE}, weak 30% by {TEACHER}", of_runs(data, handed, store, args.max_length)


def tuned(
    data: Dataset, runs: dict[str, list[Run]], args: argparse.Namespace, store: Store
) -> Iterator[tuple[str, Arm]]:
    """Item vectors of a text model that was tuned on the training part."""
    for label in args.tuned:
        started = time.perf_counter()
        config = FinetuneConfig.read(
            None, **TUNINGS[label], **{"max_tokens": 64, "evaluate_every": 20, **parse_overrides(args.tuning)}
        )
        id = f"{args.name}-{label.lower()}-{args.tuning_name}"
        tuning = find_finetune(store, id) if store.exists("adapters", id) else finetune(data, config, store, run_id=id)
        info = tuning.manifest.info
        held_out = f"{info['before']['accuracy']:.3f} -> {info['after']['accuracy']:.3f}"
        print(f"{label}: held-out items {held_out}, best step {info['best_step']}", flush=True)
        vectors = embed(data, EmbedConfig(adapter=tuning.id, max_tokens=config.max_tokens), store)
        for method in (TEACHER, "semantic-knn"):
            run = find_or_train(data, vectors, {"method": method, "max_length": args.max_length}, store, "cpu")
            yield f"{method}, {label}", of_runs(data, [run], store, args.max_length)
        opened = [ScoredRun(store, run, dataset=data, embedding=vectors) for run in runs[BASELINE]]
        yield f"{BASELINE} + content term, {label}", judged(data, [with_content(o) for o in opened], args.max_length)
        say(label, started)


def with_content(opened: ScoredRun) -> Scores:
    """The run with the content term at half of the weight at which it spreads as far as the run's own scores."""
    return opened.under(ScoringPolicy(gamma=GAMMA * Units(opened).of("content")))


def show(arms: dict[str, Arm], data: Dataset) -> None:
    """Every row with intervals, and how far its cold items stand from an order by chance."""
    contenders = {label: arm.frames for label, arm in arms.items()}
    cells: dict[str, list[str]] = {label: [] for label in arms}
    heads = []
    for group in (COLD, "Tail Item", "Overall"):
        for protocol in PROTOCOLS:
            values = per_user(contenders, ["NDCG@10"], protocol, "test")
            table = statistics.summary(values, data.thresholds, metrics=["NDCG@10"], protocol=protocol)
            heads.append(f"{group}, {protocol}")
            for row in table[table["group"] == group].to_dict("records"):
                cells[row["run"]].append(f"{row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})")
    heads.insert(2, "among the cold")
    for label, arm in arms.items():
        each = np.nanmean(np.stack(arm.among), axis=0)
        each = each[np.isfinite(each)]
        low, high = intervals(each[:, None])
        cells[label].insert(2, f"{each.mean():.3f} ({low[0]:.3f} to {high[0]:.3f})")
    print("\n| row | " + " | ".join(heads) + " |\n|---" + "|---" * len(heads) + "|")
    for label, row in cells.items():
        print(f"| {label} | " + " | ".join(row) + " |")
    for protocol in PROTOCOLS:
        tests = statistics.compare(contenders, data.thresholds, baseline=CHANCE, metrics=["NDCG@10"], protocol=protocol)
        print(f"\nCold items less an order by chance, {protocol}\n\n| row | difference | p |\n|---|---|---|")
        for row in tests[tests["group"] == COLD].to_dict("records"):
            span = f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
            print(f"| {row['run']} | {span} | {row['p_adjusted']:.4f} |")


def say(label: str, started: float) -> None:
    print(f"{label}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--only", nargs="*", default=CHEAP, help="rows of related.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--users", type=int, help="draw so many users at random, the same ones every time")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--valid-from", default=0.8)
    parser.add_argument("--test-from", default=0.9)
    parser.add_argument("--set", action="append", default=[], help="key=value for every sequence model")
    parser.add_argument("--tuned", nargs="*", default=[], choices=list(TUNINGS), help="text models to tune first")
    parser.add_argument("--tuning", action="append", default=[], help="key=value as in `llmesr finetune --set`")
    parser.add_argument("--tuning-name", default="tuned", help="told apart by this: tunings of other settings")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    store = Store()
    with tempfile.TemporaryDirectory() as scratch:
        path = drawn(args.path, args.users, Path(scratch)) if args.users else args.path
        whole = ingest([path], IngestConfig(name=args.name, k_core=args.k_core), store)
    cuts = SplitConfig.read(None, kind="temporal", valid_from=args.valid_from, test_from=args.test_from, targets="all")
    data = resplit(whole, cuts, store)
    user, item = data.split.pairs("test")
    cold = np.asarray(data.item_counts)[item] == 0
    print(
        f"{data.name}: {data.split_config.describe()} {data.thresholds.describe()} {len(user):,} targets, "
        f"{cold.sum():,} of {len(np.unique(item[cold])):,} cold items, by {len(np.unique(user[cold])):,} users.",
        flush=True,
    )
    runs = trained(data, embed(data, EmbedConfig(), store), args, store)
    arms = {CHANCE: judged(data, [AtRandom(data.n_items)], args.max_length)}
    arms |= {label: of_runs(data, of, store, args.max_length) for label, of in runs.items()}
    arms |= dict(composed(data, runs, args, store))
    arms |= dict(tuned(data, runs, args, store))
    show(arms, data)


if __name__ == "__main__":
    main()
