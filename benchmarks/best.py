"""The best recommender we can make against all others, with intervals and tests.

    python benchmarks/best.py PATH --name office --seeds 42 43 44
    python benchmarks/best.py PATH --name office --seeds 42 --emphasis 0 .25 .5 .75 1     # on validation alone

PATH is a folder with interactions and items, or names a dataset under the artifact root. Contenders: popularity,
semantic-knn of several kinds and every linear model; id, llm-init and adapter with cross-entropy; llm-esr as published,
and with our defaults; sums of them (`llmesr blend`), that of everything also with trees (`--trees`) and with tail items
counted twice (its `--emphasis 1`); and several of these under scoring policies tuned on validation (`llmesr tune`): the
balanced one, and the best that leaves no group below the published configuration. Runs already under the artifact root
are reused; `--leave-out` spares training the others, and what is made of them. With `--emphasis` only the sum of all
with trees is looked at, for each of these: in which groups it has less than the best single method, on validation.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from emphasis import on_validation, told
from quality import PAPER, find_or_train

from llmesr.config import BLEND_EMPHASIS, GROUPS, EmbedConfig, IngestConfig, has_backbone
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.table import event_metrics
from llmesr.evaluation.verdict import verdicts
from llmesr.runs.record import Run, list_runs
from llmesr.scoring.blend import blend
from llmesr.scoring.derived import derive
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import PolicyTuningConfig
from llmesr.scoring.tuning.search import cross_fitted, tune_policy
from llmesr.semantic.embed import Embedding, default_embedding, embed
from llmesr.store import Store

OURS, PUBLISHED, SIMPLE = "llm-esr + policy", "llm-esr, as published", "llm-init, ce"
NOBODY_WORSE = "llm-esr + policy, nobody worse"
TEXT_EASE, BLEND, BEST = "text-ease", "blend of 4", "blend of 4 + policy"
UNTRAINED, WITH_SIMPLE = "blend of 3 untrained", "blend of 4 with llm-init"
CONTENDERS: dict[str, dict[str, Any]] = {
    "popularity": {"method": "popularity"},
    "semantic-knn": {"method": "semantic-knn"},
    "item-knn": {"method": "item-knn"},
    "markov": {"method": "markov"},
    **({"ials": {"method": "ials"}} if importlib.util.find_spec("implicit") else {}),
    "ease": {"method": "ease"},
    TEXT_EASE: {"method": "text-ease"},
    "id, ce": {"method": "id"},
    PUBLISHED: {"method": "llm-esr", **PAPER},
    SIMPLE: {"method": "llm-init"},
    "adapter, ce": {"method": "adapter"},
    "llm-esr, ce": {"method": "llm-esr"},
}
WORDS = "text-ease and words, ridge 60"
EVENED: dict[str, Any] = {"method": "semantic-knn", "whitening": 0.5}
NEIGHBOURS: dict[str, dict[str, Any]] = {
    "semantic-knn, evened out": EVENED,
    "semantic-knn, whole history": {**EVENED, "pooling": "sum"},
    "semantic-knn, words": {**EVENED, "compared": "words"},
    "semantic-knn, words, whole history": {**EVENED, "compared": "words", "pooling": "sum"},
    "semantic-knn, attributes": {"method": "semantic-knn", "compared": "attributes"},
}
CONTENDERS |= {
    WORDS: {"method": "text-ease", "views": ["words"], "text_weight": 3.0, "view_weight": 3.0, "ridge": 60.0},
    **NEIGHBOURS,
}
EVERYTHING = (
    *(WORDS, "ease", "item-knn", "markov", "ials", "semantic-knn", "id, ce", SIMPLE, "adapter, ce", "llm-esr, ce"),
    *NEIGHBOURS,
)
SUM, TREES, TREES_TAIL = "sum of all", "sum of all with trees", "sum of all with trees, tail items twice"
SUMS: dict[str, dict[str, Any]] = {SUM: {}, TREES: {"trees": True}, TREES_TAIL: {"trees": True, "emphasis": 1.0}}
"""Of what is there of :data:`EVERYTHING`, and how it is blended."""
ALONE = (TEXT_EASE, "item-knn", "semantic-knn")
BLENDS: dict[str, tuple[str, ...]] = {
    UNTRAINED: ALONE,
    "blend of 2": (SIMPLE, TEXT_EASE),
    WITH_SIMPLE: (SIMPLE, *ALONE),
    BLEND: ("llm-esr, ce", *ALONE),
}
POLICIES = {
    f"{TEXT_EASE} + policy": TEXT_EASE,
    f"{SIMPLE} + policy": SIMPLE,
    OURS: "llm-esr, ce",
    f"{WITH_SIMPLE} + policy": WITH_SIMPLE,
    BEST: BLEND,
}


def contenders(data: Dataset, vectors: Embedding, store: Store, args: argparse.Namespace) -> dict[str, list[Run]]:
    """Every contender with every seed where it has one."""
    found: dict[str, list[Run]] = {}
    for label in (label for label in CONTENDERS if label not in args.leave_out):
        started, settings = time.perf_counter(), CONTENDERS[label]
        seeds = args.seeds if has_backbone(settings["method"]) else args.seeds[:1]
        whole = {"max_length": args.max_length, "epochs": args.epochs, **settings}
        found[label] = [find_or_train(data, vectors, {**whole, "seed": s}, store, args.device) for s in seeds]
        print(f"{label}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def combined(single: dict[str, list[Run]], store: Store, args: argparse.Namespace) -> dict[str, list[Run]]:
    """The contenders, then their blends, and the policies tuned for some of them."""
    found = dict(single)
    for label, of in BLENDS.items():
        if set(of) <= set(found) and label not in args.leave_out:
            found[label] = [find_or_blend(members, args.device) for members in by_seed([found[m] for m in of])]
    for label in (label for label in SUMS if label not in args.leave_out):
        found[label] = [find_or_blend(members, args.device, **SUMS[label]) for members in everything(single)]
    for label, of_policy in POLICIES.items():
        if of_policy in found and label not in args.leave_out:
            found[label] = [tuned(run, store, args) for run in found[of_policy]]
    if {PUBLISHED, "llm-esr, ce"} <= set(found):
        pairs = zip(found["llm-esr, ce"], found[PUBLISHED], strict=True)
        found[NOBODY_WORSE] = [tuned(run, store, args, published.id) for run, published in pairs]
    return found


def everything(single: dict[str, list[Run]]) -> list[list[Run]]:
    """What the sum of all adds up, for each seed."""
    return by_seed([single[label] for label in EVERYTHING if label in single])


def find_or_blend(members: list[Run], device: str, *, trees: bool = False, emphasis: float = BLEND_EMPHASIS) -> Run:
    """A finished blend of exactly these runs, else a new one."""
    wanted = [run.id for run in members], emphasis, trees
    for run in list_runs(members[0].store, members[0].dataset_id):
        made = run.manifest.info.get("blend", {})
        if made and "policy" not in run.manifest.info and (made["runs"], made["emphasis"], "trees" in made) == wanted:
            return run
    return blend(members, trees=trees, emphasis=emphasis, device=device)


def by_seed(members: list[list[Run]]) -> list[list[Run]]:
    """The runs to be added up, for each seed; of a member without seeds always the same."""
    return [[runs[min(i, len(runs) - 1)] for runs in members] for i in range(max(map(len, members)))]


def validated(found: dict[str, list[Run]], data: Dataset) -> None:
    """What choices are made by: both protocols on validation, mean over seeds."""
    print("\nNDCG@10 on validation (blends, policies: by what the other half of users chose), full and uni100\n")
    for label, runs in found.items():
        frames = [frame[frame["part"] == "valid"] for frame in (run.per_user() for run in runs)]
        each = [event_metrics(frame, data.thresholds) for frame in frames]
        values = [sum(m[f"{p}/Overall/NDCG@10"] for m in each) / len(each) for p in ("full", "uni100")]
        print(f"{label}: {values[0]:.4f} {values[1]:.4f}")


def by_emphasis(single: dict[str, list[Run]], data: Dataset, args: argparse.Namespace) -> None:
    """Print what the sum of all with trees lacks on validation as tail items count more."""
    print("\nThe sum of all with trees on validation, ranked by weights that were fitted on others, mean over seeds\n")
    sums = {}
    for emphasis in args.emphasis:
        each = [find_or_blend(members, args.device, trees=True, emphasis=emphasis) for members in everything(single)]
        sums[emphasis] = on_validation(each, data)
    print("\n".join(told(sums, {label: on_validation(runs, data) for label, runs in single.items()})))


def tuned(run: Run, store: Store, args: argparse.Namespace, reference: str | None = None) -> Run:
    """The run under the policy chosen for it on validation."""
    scored = ScoredRun(store, run, args.device)
    config = PolicyTuningConfig(objective=args.objective, reference=reference)
    chosen = tune_policy(scored, config)
    policy = chosen.points[chosen.chosen].policy
    print(f"{run.id}: tuned in {chosen.seconds:.0f} s: {policy.model_dump(exclude_defaults=True)}", file=sys.stderr)
    return run if policy.inert else derive(scored, policy, halves=cross_fitted(scored, config))


def show(table: pd.DataFrame, title: str) -> None:
    """Contenders down, groups across: mean over seeds with half of the 95% interval over users."""
    print(f"\n{title}\n\n| configuration | " + " | ".join(GROUPS) + " |\n|---" + "|---" * len(GROUPS) + "|")
    for label, rows in table.groupby("run", sort=False):
        cells = {r["group"]: f"{r['value']:.4f} ±{(r['high'] - r['low']) / 2:.4f}" for r in rows.to_dict("records")}
        print(f"| {label} | " + " | ".join(cells[g] for g in GROUPS) + " |")


def below(frames: dict[str, list[pd.DataFrame]], data: Dataset) -> None:
    """In which groups each sum has less than the best single method, test part, and whether it may be chance."""
    single = [label for label in frames if label in CONTENDERS]
    print(
        "\nGroups in which a sum has less than some single method (test; less it, 95% interval, p of this pair alone)\n"
    )
    for protocol, metric in product(("full", "uni100"), ("NDCG@10", "HR@10")):
        table = summary(frames, data.thresholds, metrics=[metric], protocol=protocol)
        values = table.pivot(index="run", columns="group", values="value")
        best, name = values.loc[single].max(), values.loc[single].idxmax()
        for label in [label for label in SUMS if label in frames]:
            less = [g for g in GROUPS if g in values and values.loc[label, g] < best[g]]
            told = [
                f"{g} {values.loc[label, g]:.4f} against {best[g]:.4f} of {name[g]} "
                f"({less_by(frames[name[g]], frames[label], data, protocol, metric, g)})"
                for g in less
            ]
            print(f"{protocol} {metric}, {label}: {', '.join(told) or 'none'}")


def less_by(
    single: list[pd.DataFrame], of: list[pd.DataFrame], data: Dataset, protocol: str, metric: str, group: str
) -> str:
    """What a sum has more or less than a single method in a group, paired by user over all seeds."""
    pair = {"single": single, "sum": of}
    table = compare(pair, data.thresholds, baseline="single", metrics=[metric], protocol=protocol)
    row = table.set_index("group").loc[group]
    return f"{row['difference']:+.4f}, {row['low']:+.4f} to {row['high']:+.4f}, p = {row['p']:.3f}"


def ratios(table: pd.DataFrame, ours: str, baseline: str) -> str:
    """Ours as a multiple of the baseline, by group."""
    values = table.set_index(["run", "group"])["value"]
    return ", ".join(f"{g} {values[ours, g] / values[baseline, g]:.2f}" for g in GROUPS if values[baseline, g])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=100, help="at the most; training stops by validation")
    known = [*CONTENDERS, *BLENDS, *SUMS, *POLICIES]
    parser.add_argument("--leave-out", nargs="+", default=[], choices=known, help="contenders to leave out")
    parser.add_argument("--emphasis", nargs="+", type=float, help="only see what these are worth, on validation")
    parser.add_argument("--objective", default="balanced", choices=["balanced", "overall", "tail"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    if args.path.exists():
        data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
        text = embed(data, EmbedConfig(), store)
    else:
        data = load_dataset(store, store.find("datasets", str(args.path)).id)
        text = default_embedding(store, data)
    single = contenders(data, text, store, args)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}")
    if args.emphasis:
        by_emphasis(single, data, args)
        return
    found = combined(single, store, args)
    frames = {label: [run.per_user() for run in runs] for label, runs in found.items()}
    validated(found, data)
    below(frames, data)
    claims = [*product((OURS, NOBODY_WORSE), (PUBLISHED, SIMPLE)), *product((BLEND, BEST), (TEXT_EASE, OURS))]
    claims += [(TREES, SUM), (TREES_TAIL, TREES), (TREES, TEXT_EASE)]
    claims += [(UNTRAINED, TEXT_EASE), *product((WITH_SIMPLE, BLEND), (UNTRAINED,))]
    claims = [pair for pair in claims if set(pair) <= set(found)]
    for protocol in ("full", "uni100"):
        for metric in ("HR@10", "NDCG@10"):
            table = summary(frames, data.thresholds, metrics=[metric], protocol=protocol)
            show(table, f"{metric}, {protocol}, test, {len(args.seeds)} seeds")
            for ours, baseline in claims:
                print(f"\n{ours} / {baseline}: {ratios(table, ours, baseline)}")
                pair = {k: frames[k] for k in (baseline, ours)}
                [told] = verdicts(compare(pair, data.thresholds, metrics=[metric], protocol=protocol), doubts=[])
                print(f"\nAgainst {baseline}: {told.sentence()}")


if __name__ == "__main__":
    main()
