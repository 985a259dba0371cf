"""LLMEmb against the other uses of item text, with the language model as it is (raw) and fine-tuned (SCFT).

    llmesr finetune office --json                      # prints the id of an adapter
    python benchmarks/llmemb.py PATH --name office --adapter ADAPTER --seeds 42 43 44

PATH is a folder with interactions and items. Both embeddings have the wording, length and pooling the adapter was
tuned with. Runs already under the artifact root are reused. The tables show mean and standard deviation over seeds.
"""

from __future__ import annotations

from typing import Any

import torch
from quality import arguments, show, train_all

from llmesr.config import EmbedConfig, IngestConfig, parse_overrides, preset
from llmesr.data.ingest import ingest
from llmesr.runs.finetune import find_finetune
from llmesr.semantic.embed import embed
from llmesr.store import Store

TEXT = ("raw", "SCFT")
PUBLISHED = {k: v for k, v in preset("paper", "sasrec").items() if k.startswith(("adapter_", "alignment_"))}


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
        "random start": {"adapter_init": "random"},
        "as published": PUBLISHED,
    }
    for label, values in switches.items():
        made[f"llmemb, SCFT, {label}"] = ("SCFT", {"method": "llmemb", **values})
    for backbone in ("bert4rec", "gru4rec"):
        for text in TEXT:
            made[f"llmemb/{backbone}, {text}"] = (text, {"method": "llmemb", "backbone": backbone})
    return made


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--adapter", required=True, help="of `llmesr finetune` on the same dataset")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of every run")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    used = find_finetune(store, args.adapter).config
    wording = {"template": used.template, "attributes": used.attributes, "max_chars": used.max_characters}
    plain = EmbedConfig(embedder=used.base, pooling=used.pooling, max_tokens=used.max_tokens, **wording)
    vectors = {"raw": embed(data, plain, store), "SCFT": embed(data, plain.but(adapter=args.adapter), store)}
    common = parse_overrides(args.set)
    show(
        train_all(data, {label: (vectors[text], {**common, **s}) for label, (text, s) in suite().items()}, store, args)
    )


if __name__ == "__main__":
    main()
