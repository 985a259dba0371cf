"""LLMEmb against the other uses of item text, with the language model as it is (raw) and fine-tuned (SCFT).

    llmesr finetune office --json                      # prints the id of an adapter
    python benchmarks/llmemb.py PATH --name office --adapter ADAPTER --seeds 42 43 44

PATH is a folder with interactions and items. Both embeddings have the wording, length and pooling the adapter was
tuned with. Runs already under the artifact root are reused. The tables show mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from quality import find_or_train, show

from llmesr.config import EmbedConfig, IngestConfig
from llmesr.data.ingest import ingest
from llmesr.runs.record import Run
from llmesr.runs.tuning import find_tuning
from llmesr.semantic.embed import embed
from llmesr.store import Store

TEXT = ("raw", "SCFT")


def suite() -> dict[str, tuple[str, dict[str, Any]]]:
    """Label -> which text, and the settings."""
    made: dict[str, tuple[str, dict[str, Any]]] = {"id": ("raw", {"method": "id"})}
    for text in TEXT:
        for method in ("semantic-knn", "llm-init", "adapter", "llm-esr", "llmemb"):
            made[f"{method}, {text}"] = (text, {"method": method})
    switches: dict[str, dict[str, Any]] = {
        "no adapter": {"adapter": False},
        "trainable table": {"freeze_text": False},
        "no alignment": {"alignment_weight": 0.0},
    }
    for label, values in switches.items():
        made[f"llmemb, SCFT, {label}"] = ("SCFT", {"method": "llmemb", **values})
    for backbone in ("bert4rec", "gru4rec"):
        for text in TEXT:
            made[f"llmemb/{backbone}, {text}"] = (text, {"method": "llmemb", "backbone": backbone})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--adapter", required=True, help="of `llmesr finetune` on the same dataset")
    parser.add_argument("--only", nargs="*", help="labels to run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    used = find_tuning(store, args.adapter).config
    wording = {"template": used.template, "attributes": used.attributes, "max_chars": used.max_characters}
    plain = EmbedConfig(embedder=used.base, pooling=used.pooling, max_tokens=used.max_tokens, **wording)
    vectors = {"raw": embed(data, plain, store), "SCFT": embed(data, plain.but(adapter=args.adapter), store)}
    print(f"{data.name}: {data.n_users:,} users, {data.n_items:,} items. {data.thresholds.describe()}", flush=True)
    found: dict[str, list[Run]] = {}
    for label, (text, settings) in suite().items():
        if args.only and label not in args.only:
            continue
        started = time.perf_counter()
        seeds = args.seeds[:1] if settings["method"] == "semantic-knn" else args.seeds
        whole = {"max_length": args.max_length, **settings}
        found[label] = [find_or_train(data, vectors[text], {**whole, "seed": s}, store, args.device) for s in seeds]
        print(f"{label}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    show(found)


if __name__ == "__main__":
    main()
