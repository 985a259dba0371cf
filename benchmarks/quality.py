"""Quality of methods on a dataset, several seeds, both protocols, every group.

    python benchmarks/quality.py PATH --name office --suite losses --seeds 42 43 44

PATH is a folder with interactions and items. Runs already under the artifact root are reused, so a
stopped benchmark goes on where it was. The table shows mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmesr.config import GROUPS, EmbedConfig, IngestConfig, RunConfig, has_backbone, preset, settings_read
from llmesr.config.needs import starts_adapter
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.runs.record import Run, list_runs
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training.train import train

PAPER = {k: v for k, v in preset("paper", "sasrec").items() if k != "max_length"}
PLAIN = {"fusion": "none"}


def suite(name: str) -> dict[str, dict[str, Any]]:
    """Label -> settings."""
    untrained = {m: {"method": m} for m in ("popularity", "semantic-knn")}
    if name == "losses":
        crossed = {"method": "llm-esr", "fusion": "cross_attention"}
        base = {
            "id": {"method": "id"},
            "llm-init": {"method": "llm-init"},
            "llm-esr (cross-attention)": crossed,
            "llm-esr": {"method": "llm-esr", **PLAIN},
        }
        trained = {f"{label}, {loss}": {**s, "loss": loss} for loss in ("bce", "ce") for label, s in base.items()}
        return {**untrained, **trained, "llm-esr, the paper's settings": {"method": "llm-esr", **PAPER}}
    if name == "backbones":
        methods = ("id", "llm-init", "adapter", "llm-esr", "llmemb")
        return {f"{m}/{b}": {"method": m, "backbone": b} for b in ("sasrec", "bert4rec", "gru4rec") for m in methods}
    if name == "ablations":
        switches: dict[str, dict[str, Any]] = {
            "full": {},
            "no collaborative view": {"collaborative_view": False, "fusion": "none"},
            "no semantic view": {"semantic_view": False, "fusion": "none"},
            "no distillation": {"distillation": "off"},
            "contrastive distillation": {"distillation": "contrastive"},
            "separate encoders": {"shared_encoder": False},
            "no cross-attention": {"fusion": "none"},
            "cross-attention added": {"fusion": "residual"},
            "one-layer adapter": {"adapter_layers": 1},
            "random start of ids": {"item_init": "random"},
        }
        published = {"method": "llm-esr", "loss": "bce", "fusion": "cross_attention"}
        return {label: {**published, **s} for label, s in switches.items()}
    raise SystemExit(f"unknown suite {name!r}: losses, backbones or ablations")


def looked_at(config: RunConfig) -> dict[str, Any]:
    """The settings a run depends on."""
    return {**settings_read(config.model_dump()), "adapter_init": starts_adapter(config), "alignment_run": None}


def find_or_train(data: Dataset, vectors: Embedding, settings: dict[str, Any], store: Store, device: str) -> Run:
    """A finished run of exactly these settings and without a policy, else a new one."""
    config = RunConfig.read(None, **settings)
    wanted = looked_at(config)
    for run in list_runs(store, data.id):
        same = "policy" not in run.manifest.info and looked_at(run.config) == wanted
        if same and run.status().state == "SUCCEEDED" and run.manifest.parent("embeddings") in (None, vectors.id):
            return run
    return train(data, config, store, embedding=vectors, device=device)


def row(label: str, runs: list[Run], protocol: str, metric: str) -> str:
    """Mean and spread of every group."""
    cells = []
    for group in GROUPS:
        values = [
            r["value"]
            for run in runs
            for r in run.metrics()
            if (r["protocol"], r["group"], r["metric"]) == (protocol, group, metric)
        ]
        spread = f" ±{np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.4f}{spread}")
    return f"| {label} | " + " | ".join(cells) + " |"


def show(found: dict[str, list[Run]]) -> None:
    """A table per metric and protocol."""
    for protocol in ("full", "uni100"):
        for metric in ("HR@10", "NDCG@10"):
            print(f"\n{metric}, {protocol}\n\n| configuration | " + " | ".join(GROUPS) + " |\n|---" + "|---" * 5 + "|")
            for label, runs in found.items():
                print(row(label, runs, protocol, metric))


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What every comparison of trained runs is asked."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--only", nargs="*", help="labels to run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    return parser


def train_all(
    data: Dataset, configurations: dict[str, tuple[Embedding, dict[str, Any]]], store: Store, args: argparse.Namespace
) -> dict[str, list[Run]]:
    """The runs of every seed by label; ``configurations``: label -> (item text, settings)."""
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}", flush=True)
    found: dict[str, list[Run]] = {}
    for label, (vectors, settings) in configurations.items():
        if args.only and label not in args.only:
            continue
        started = time.perf_counter()
        seeds = args.seeds if has_backbone(settings["method"]) else args.seeds[:1]
        whole = {"max_length": args.max_length, **settings}
        found[label] = [find_or_train(data, vectors, {**whole, "seed": s}, store, args.device) for s in seeds]
        print(f"{label}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--suite", default="losses")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    vectors = embed(data, EmbedConfig(), store)
    show(train_all(data, {label: (vectors, s) for label, s in suite(args.suite).items()}, store, args))


if __name__ == "__main__":
    main()
