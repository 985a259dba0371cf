"""Ideas of other systems beside the methods they compete with: quality by group under both protocols, cost, tests.

    python benchmarks/related.py PATH --name office
    python benchmarks/related.py PATH --name beauty --seeds 42 --set patience=3 --set loss=sampled --no-allocation

PATH is a folder with interactions and items. ``--set`` is for every sequence model. Runs already under the artifact
root are reused. Differences are from llm-init, paired by user, over all seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from quality import arguments, find_or_train, show

from llmesr.config import AllocationConfig, EmbedConfig, IngestConfig, has_backbone, parse_overrides
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.evaluation import statistics
from llmesr.runs.record import Run
from llmesr.scoring.allocation.allocate import ALLOCATED, RANDOM_ORDER, RANDOM_USERS, allocate
from llmesr.scoring.allocation.rankers import by_run
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import embed
from llmesr.store import Store

BASELINE, TEACHER = "llm-init", "text-ease"
LANGUAGE: dict[str, Any] = {
    "method": "language",
    "batch_size": 32,
    "epochs": 60,
    "patience": 5,
    "validation_users": 800,
}
"""Small batches: an epoch costs as much as its histories have tokens, however many steps it makes."""
ROWS: dict[str, dict[str, Any]] = {
    TEACHER: {"method": "text-ease"},
    "id": {"method": "id"},
    BASELINE: {"method": "llm-init"},
    "llm-esr": {"method": "llm-esr"},
    "id, graph steps 1": {"method": "id", "graph_steps": 1},
    "llm-init, graph steps 1": {"method": "llm-init", "graph_steps": 1},
    "llm-init, graph steps 3": {"method": "llm-init", "graph_steps": 3},
    "codes, projections": {"method": "codes"},
    "codes, residual": {"method": "codes", "quantisation": "residual"},
    "codes, projections, random start": {"method": "codes", "item_init": "random"},
    "language": LANGUAGE,
    "language, no prefix": {**LANGUAGE, "prefix": "none"},
    "language, collaborative prefix": {**LANGUAGE, "prefix": "collaborative"},
    "language, injected, alternating": {**LANGUAGE, "inject": True, "attention": "alternating"},
    "language, frozen": {**LANGUAGE, "lora_rank": 0},
    "generative": {"method": "generative"},
    "generative, codes kept": {"method": "generative", "refresh_codes": 0},
    "llm-init, list of text-ease": {"method": "llm-init", "teacher": TEACHER},
}


def differences(found: dict[str, list[Run]], data: Dataset) -> None:
    """NDCG@10 of every row less that of the baseline, with 95% intervals and corrected p."""
    contenders = {label: [run.per_user() for run in runs] for label, runs in found.items()}
    alone = [label for label in found if label == TEACHER]
    for protocol in ("full", "uni100"):
        table = statistics.compare(
            contenders, data.thresholds, baseline=BASELINE, metrics=["NDCG@10"], protocol=protocol, alone=alone
        )
        print(f"\nNDCG@10 less that of {BASELINE}, {protocol}\n\n| row | group | difference | p |\n|---|---|---|---|")
        for row in table[table["group"].isin(["Overall", "Tail Item", "Head Item"])].to_dict("records"):
            interval = f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
            print(f"| {row['run']} | {row['group']} | {interval} | {row['p_adjusted']:.3f} |")


def cost(found: dict[str, list[Run]]) -> None:
    """Parameters, epochs and seconds of training; what codes tell apart."""
    print("\n| row | parameters | epochs | seconds |\n|---|---|---|---|")
    for label, runs in found.items():
        info = runs[0].manifest.info
        seconds = np.mean([run.manifest.timings["train"] for run in runs])
        print(f"| {label} | {info.get('parameters', 0):,} | {info.get('epochs', '-')} | {seconds:.0f} |")
    for label, runs in found.items():
        if codes := runs[0].manifest.info.get("codes"):
            print(f"\n{label}: {codes}")


def allocated(first: Run, second: Run, store: Store, share: float | None) -> None:
    """Weak users of one run by another: the share that validation chooses, or the given one, and every arm."""
    opened = ScoredRun(store, first)
    made = allocate(opened, by_run(ScoredRun(store, second), opened), AllocationConfig(share=share))
    asked = made.document["users"]
    print(
        f"\n{first.label} + {second.label}: share {made.share:.0%}, {made.document['weak_users']:,} of {asked:,} weak"
    )
    print("validation:", ", ".join(f"{r['share']:.0%} {r['gain']:+.4f}" for r in made.chosen))
    if made.run is None:
        return
    arms = [ALLOCATED, RANDOM_ORDER, RANDOM_USERS]
    for protocol in ("full", "uni100"):
        _, tests = made.evidence(protocol, ["NDCG@10"])
        print(
            f"\nNDCG@10 less the run alone, {protocol}\n\n| group | " + " | ".join(arms) + " |\n|---" + "|---" * 3 + "|"
        )
        rows = {(r["run"], r["group"]): r for r in tests.to_dict("records")}
        for group in dict.fromkeys(tests["group"]):
            cells = [rows[arm, group] for arm in arms]
            shown = [
                f"{c['difference']:+.4f} ({c['low']:+.4f} to {c['high']:+.4f}), p {c['p_adjusted']:.3f}" for c in cells
            ]
            print(f"| {group} | " + " | ".join(shown) + " |")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--set", action="append", default=[], help="key=value for every sequence model")
    parser.add_argument("--no-allocation", action="store_true", help="leave out the weak users of each run by another")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    vectors = embed(data, EmbedConfig(), store)
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}", flush=True)
    found: dict[str, list[Run]] = {}
    for label, given in ROWS.items():
        if args.only and label not in {*args.only, BASELINE, TEACHER}:
            continue
        neural = has_backbone(given["method"])
        settings = {"max_length": args.max_length, **given, **(parse_overrides(args.set) if neural else {})}
        if "teacher" in settings:
            settings["teacher"] = found[TEACHER][0].id
        seeds = [{"seed": seed} for seed in args.seeds] if neural else [{}]
        found[label] = [find_or_train(data, vectors, {**settings, **seed}, store, args.device) for seed in seeds]
        print(label, file=sys.stderr, flush=True)
    show(found)
    differences(found, data)
    cost(found)
    pairs = [(BASELINE, TEACHER), ("id", TEACHER), (TEACHER, BASELINE)]
    for first, second in () if args.no_allocation else pairs:
        if {first, second} <= set(found):
            for share in (None, 0.3):
                allocated(found[first][0], found[second][0], store, share)


if __name__ == "__main__":
    main()
