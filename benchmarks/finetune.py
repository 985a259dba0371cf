"""What fine-tuning does to a real language model: quality before and after, time per step, peak memory.

    python benchmarks/finetune.py office --base minilm --set steps=200
    python benchmarks/finetune.py office --base gguf:gemma-3-270m-q4_k_m.gguf --set steps=30 --set batch_size=16
    python benchmarks/finetune.py office --adapter SCFT PREFERENCES --judge RUN --finalists 2
    python benchmarks/finetune.py --throughput --layers 16 --width 2048

The first form tunes (``--set`` as in ``llmesr finetune``), embeds all items with the base and with the adapter, in the
same pooling and wording, and prints both sides. The third judges finished adapters against the base on validation, as
`llmesr study` does: text-ease, semantic-knn, RUN with the content term, and ``--method`` trained on the best. The last
needs a GPU to say something: it measures prompts per
second of a random decoder of the given size, with and without recomputing activations, and needs no download.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import torch

from llmesr.cli.output import out, progress
from llmesr.cli.study import told
from llmesr.config import EmbedConfig, FinetuneConfig, StudyConfig, parse_overrides
from llmesr.data.dataset import load_dataset
from llmesr.runs.finetune import find_finetune
from llmesr.semantic.contrastive import ContrastiveLoss, backward
from llmesr.semantic.diagnostics import compare
from llmesr.semantic.embed import embed
from llmesr.semantic.embedders.pooling import pool
from llmesr.semantic.lora import attach, recompute_activations
from llmesr.store import Store
from llmesr.studies.carry_out import study
from llmesr.training.devices import autocast, pick_device
from llmesr.training.finetune import finetune

MEGA = 1 << 20


def quality(dataset_ref: str, config: FinetuneConfig | None, adapter: str | None) -> None:
    """Tune (or take a finished adapter), embed with both models, print both sides."""
    store = Store()
    dataset = load_dataset(store, dataset_ref)
    with progress() as listen:
        tuning = (
            find_finetune(store, str(adapter)) if config is None else finetune(dataset, config, store, progress=listen)
        )
        used = tuning.config
        same = {"template": used.template, "attributes": used.attributes, "max_chars": used.max_characters}
        settings = EmbedConfig(embedder=used.base, pooling=used.pooling, max_tokens=used.max_tokens, **same)
        raw = embed(dataset, settings, store, listen)
        tuned = embed(dataset, settings.but(adapter=tuning.id), store, listen)
    info = tuning.manifest.info
    print(f"\n{tuning.id}: {used.base} on {dataset.name}, {dataset.n_items} items, {torch.get_num_threads()} threads")
    print("\n| measure | before | after |\n|---|---|---|")
    for key in ("accuracy", "mean_cosine", "uniformity", "alignment"):
        print(f"| held-out copies: {key} | {info['before'][key]:.4f} | {info['after'][key]:.4f} |")
    frame = compare({"before": raw.item_vectors, "after": tuned.item_vectors}, dataset.catalogue)
    for row in frame.to_dict("records"):
        name = f"{row['measure']} {row['attribute']}".strip()
        print(f"| all items: {name} ({row['better']} is better) | {row['before']:.4f} | {row['after']:.4f} |")
    memory = (info["peak_memory_bytes"] or 0) / MEGA
    print(
        f"\n{info['steps']} steps (best {info['best_step']}), {info['seconds_per_step']:.2f} s per step, "
        f"{info['prompts_per_second']:.1f} prompts/s, peak memory {memory:,.0f} MiB, "
        f"{info['parameters_tuned']:,} of {info['parameters_tuned'] + info['parameters_base']:,} parameters tuned"
    )
    print(json.dumps({"adapter": tuning.id, "raw": raw.id, "tuned": tuned.id}))


def judge(dataset_ref: str, adapters: Sequence[str], run: str, finalists: int, method: str) -> None:
    """What the vectors of each adapter are worth against those of the base, with intervals."""
    store = Store()
    dataset = load_dataset(store, dataset_ref)
    used = find_finetune(store, adapters[0]).config
    config = StudyConfig.read(
        None,
        embedders=[used.base, *(f"adapter:{adapter}" for adapter in adapters)],
        poolings=[used.pooling],
        max_tokens=used.max_tokens,
        max_chars=used.max_characters,
        run=run,
        finalists=finalists,
        method=method,
    )
    with progress() as listen:
        made = study(dataset, config, store, progress=listen)
    for block in told(made):
        out.print(block)


def throughput(layers: int, width: int, batch: int, length: int, steps: int) -> None:
    """Prompts per second of whole steps of a random decoder, bfloat16 where the device has it."""
    device = pick_device("auto")
    if device.type != "cuda":
        print(f"No GPU here: this measures {device} and only shows that the command works.")
    print(f"\n{layers} layers of {width}, {batch} items (two copies each) of {length} tokens, {device}")
    print("\n| recompute activations | cached gradients | prompts/s | peak MiB | loss |\n|---|---|---|---|---|")
    for recompute in (False, True):
        for chunk in (None, max(2, batch // 4)):
            model = random_decoder(layers, width, device, recompute=recompute)
            rate, loss = time_steps(model, device, batch=batch, length=length, steps=steps, chunk=chunk)
            peak = torch.cuda.max_memory_allocated() / MEGA if device.type == "cuda" else float("nan")
            print(f"| {recompute} | {chunk or 'off'} | {rate:,.1f} | {peak:,.0f} | {loss:.3f} |", flush=True)
            del model


def random_decoder(layers: int, width: int, device: torch.device, *, recompute: bool) -> torch.nn.Module:
    """A LLaMA of that size with updates attached, ready to train."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    base: Any = LlamaModel(LlamaConfig(vocab_size=1000, num_attention_heads=max(1, width // 64), **shape))
    base = base.to(torch.bfloat16 if device.type == "cuda" else torch.float32)
    base.config.use_cache = False
    if recompute:
        recompute_activations(base)
    model: torch.nn.Module = attach(base, rank=8, alpha=32, dropout=0.1).to(device).train()
    return model


def time_steps(
    model: torch.nn.Module, device: torch.device, *, batch: int, length: int, steps: int, chunk: int | None
) -> tuple[float, float]:
    """Prompts per second over ``steps`` steps after two to warm up, and the last loss."""
    loss = ContrastiveLoss(FinetuneConfig()).to(device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    rows = torch.randint(1000, (2 * batch, length), device=device)

    def encode(names: Sequence[str]) -> torch.Tensor:
        ids = rows[torch.tensor([int(name) for name in names], device=device)]
        mask = torch.ones_like(ids)
        return pool(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask, "mean")

    names = [str(i) for i in range(2 * batch)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = value = 0.0
    for step in range(steps + 2):
        if step == 2:
            _wait(device)
            started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, "auto"):
            value = backward(encode, loss, names[:batch], names[batch:], chunk_size=chunk, seed=(step,))
        optimizer.step()
    _wait(device)
    return 2 * batch * steps / (time.perf_counter() - started), value


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--adapter", nargs="+", help="finished adapters to judge instead of tuning")
    parser.add_argument("--judge", metavar="RUN", help="what adapters are worth in recommendations, and to RUN")
    parser.add_argument("--finalists", type=int, default=0)
    parser.add_argument("--method", default="llm-esr")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    if given.throughput:
        throughput(given.layers, given.width, given.batch, given.length, given.steps)
    elif given.dataset and given.adapter and given.judge:
        judge(given.dataset, given.adapter, given.judge, given.finalists, given.method)
    elif given.dataset:
        config = None if given.adapter else FinetuneConfig.read(None, base=given.base, **parse_overrides(given.set))
        for adapter in given.adapter or [None]:
            quality(given.dataset, config, adapter)
    else:
        parser.error("name a dataset, or ask for --throughput")


if __name__ == "__main__":
    main()
