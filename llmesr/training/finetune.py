"""Fine-tune a language model on a dataset's items (SCFT, LLMEmb) and keep the adapter."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.linear.interactions import followed
from llmesr.progress import Progress, silent
from llmesr.runs.finetune import Finetune
from llmesr.semantic.co_chosen import CoChosen, with_partners
from llmesr.semantic.contrastive import Copies, Encoder
from llmesr.semantic.embedders.backbone import (
    Source,
    choose_pooling,
    is_decoder,
    load_config,
    load_model,
    locate,
    weights_digest,
)
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.semantic.lora import ADAPTER, attach, recompute_activations, save_adapter
from llmesr.store import Store
from llmesr.text.prompts import attribute_lists, fill
from llmesr.training.devices import pick_device
from llmesr.training.finetune_loop import FinetuneLoop, peak_memory
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import recorded_end, terminate

HELD_OUT_MOST = 500
"""Held-out items are embedded at every evaluation; more than this tells nothing new."""


@dataclass(frozen=True)
class Material:
    """What is tuned on: attributes of all N items, and the rows (0..N-1) to train on and to judge by."""

    attributes: list[list[str]]
    train: np.ndarray
    held_out: np.ndarray
    skipped: int
    together: sparse.csr_matrix | None = None
    """(N, N) how often two items stood near each other, where that is what is tuned on."""

    def pairs(self, config: FinetuneConfig) -> Copies | CoChosen:
        """What is drawn together."""
        copies = Copies(self.attributes, config.drop_ratio, config.seed, config.template)
        return copies if self.together is None else CoChosen(copies, self.together, self.held_out)


def finetune(
    dataset: Dataset,
    config: FinetuneConfig,
    store: Store,
    *,
    run_id: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Finetune:
    """Fine-tune ``config.base`` on the item attributes of ``dataset``; the finished adapter is an artifact.

    Stopped by SIGTERM it keeps a checkpoint, leaves the run STOPPED and raises
    :class:`~llmesr.training.stopping.Stopped`; :func:`resume_finetune` goes on to the same result.
    UserError when the items have too little text, the model cannot be read, or the loss is no longer a number.
    """
    on = pick_device(device)
    material = gather(dataset, config)
    source = locate(config.base)
    config = config.but(pooling=resolve_pooling(source, config))
    name = f"{dataset.name} fine-tuned {config.base.rpartition('/')[2]}"
    run = Finetune.create(store, config, [dataset.manifest], name=name, id=run_id, device=str(on))
    with run.hold():
        return _carry_out(run, material, source, on, progress)


def resume_finetune(run: Finetune, *, device: str = "auto", progress: Progress = silent) -> Finetune:
    """Go on with a fine-tuning that was stopped or broke off. UserError when it is finished already."""
    with run.hold():
        if run.status().state == "SUCCEEDED":
            raise UserError(f"Adapter {run.id!r} is finished; fine-tune again to get another.")
        material = gather(load_dataset(run.store, run.dataset_id), run.config)
        return _carry_out(run, material, locate(run.config.base), pick_device(device), progress)


def gather(dataset: Dataset, config: FinetuneConfig) -> Material:
    """The items that can be told apart by their attributes, or that are chosen together, split into training and
    held-out by the seed.

    An item with a single attribute has no two different copies and is skipped. UserError when too few are left.
    """
    lists = attribute_lists(dataset.catalogue, config.attributes, max_chars=config.max_characters)
    fill([], config.template)  # an unusable template is found now, not at the first step
    filled = np.array([len(row) for row in lists])
    used = ", ".join(config.attributes or dataset.text_columns) or "none"
    if not filled.any():
        raise UserError(
            f"None of the {dataset.n_items} items of {dataset.name!r} has text (columns: {used}), so there is nothing "
            "to tune on. Ingest it with an item file that has titles, brands, categories or descriptions."
        )
    if config.objective == "co_chosen":
        return _co_chosen(dataset, config, lists, filled > 0)
    usable = np.flatnonzero(filled >= 2)
    if not len(usable):
        raise UserError(
            f"No item of {dataset.name!r} has two attributes with text (columns: {used}), and fine-tuning needs two "
            "different copies of an item. Add a brand, category or description column to the item file."
        )
    if len(usable) < 4:
        raise UserError(
            f"Only {len(usable)} items of {dataset.name!r} have two attributes with text (columns: {used}); "
            "fine-tuning needs at least 4."
        )
    return Material(lists, *_parted(usable, config), len(lists) - len(usable))


def _co_chosen(dataset: Dataset, config: FinetuneConfig, lists: list[list[str]], texts: np.ndarray) -> Material:
    """The items with text that somebody chose near another one in training. UserError when too few are left."""
    together = followed(dataset, config.window, 1.0)[1:, 1:].tocsr()
    together = with_partners(sparse.diags(texts.astype(float)) @ together, texts.astype(float))
    usable = np.flatnonzero(np.diff(together.indptr))
    if len(usable) < 4:
        raise UserError(
            f"Only {len(usable)} items of {dataset.name!r} have text and were chosen within {config.window} steps of "
            "another in training; tuning on what is chosen together needs at least 4. Use objective=attributes."
        )
    train, held_out = _parted(usable, config)
    kept = np.ones(len(lists))
    kept[held_out] = 0
    left = np.diff(with_partners(together, kept).indptr) > 0
    if left[train].sum() < 2:
        raise UserError(
            f"Hardly any item of {dataset.name!r} was chosen together with one that is not held out: lower held_out "
            f"(now {config.held_out}) or raise window (now {config.window})."
        )
    return Material(lists, train[left[train]], held_out, len(lists) - len(usable), together)


def _parted(usable: np.ndarray, config: FinetuneConfig) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to judge by, by the seed."""
    shuffled = np.random.default_rng([config.seed, 0]).permutation(usable)
    kept_aside = min(max(2, round(config.held_out * len(usable))), HELD_OUT_MOST, len(usable) - 2)
    return np.sort(shuffled[kept_aside:]), np.sort(shuffled[:kept_aside])


def resolve_pooling(source: Source, config: FinetuneConfig) -> str:
    """What ``auto`` means for fine-tuning: what the model's folder states, else the mean (LLMEmb), in decoders too."""
    if config.pooling != "auto":
        return config.pooling
    found = load_config(source)
    stated = not source.gguf and (source.folder / "1_Pooling").is_dir()
    return "mean" if is_decoder(found) and not stated else choose_pooling(source, found)


def open_encoder(source: Source, config: FinetuneConfig, device: torch.device) -> Encoder:
    """The base model with fresh updates, seeded. In bfloat16 the base is held in it, the updates stay in float32."""
    half = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    base = load_model(source, torch.bfloat16 if half else torch.float32)
    base.config.use_cache = False
    if config.gradient_checkpointing:
        recompute_activations(base)
    torch.manual_seed(config.seed)
    model = attach(base, rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout).to(device)
    settings = EmbedConfig(embedder=config.base, pooling=config.pooling, max_tokens=config.max_tokens)
    return Encoder(model, TransformerEmbedder(source, settings, device=str(device)))


def _carry_out(run: Finetune, material: Material, source: Source, device: torch.device, progress: Progress) -> Finetune:
    run.set_state("RUNNING", "loading the model")
    with recorded_end(run):
        started = time.perf_counter()
        config = run.config
        encoder = open_encoder(source, config, device)
        loaded = time.perf_counter()
        with terminate() as should_stop:
            loop = FinetuneLoop(
                run=run,
                copies=material.pairs(config),
                train_items=material.train,
                held_out=material.held_out,
                encoder=encoder,
                config=config,
                runtime=Runtime(device, should_stop=should_stop, progress=progress),
            )
            loop.resume()
            loop.fit()
        loop.restore_best()
        save_adapter(encoder.model, run.folder / ADAPTER, config.base)
        timings = {"load": round(loaded - started, 3), "tune": round(loop.seconds, 3)}
        done = run.status().model_copy(update={"state": "SUCCEEDED", "seconds_left": 0.0, "message": ""})
        run.finish(done, timings, _info(loop, material, source, device))
        run.discard_checkpoints()
    return run


def _info(loop: FinetuneLoop, material: Material, source: Source, device: torch.device) -> dict[str, Any]:
    before, after = loop.before, loop.best
    trained = sum(p.numel() for p in loop.trained.parameters())
    return {
        "before": before,
        "after": after,
        "chance": 1 / len(material.held_out) if material.together is None else 0.5,
        "steps": loop.step,
        "best_step": loop.stopper.best_epoch,
        "items_trained": len(material.train),
        "items_held_out": len(material.held_out),
        "items_skipped": material.skipped,
        "seconds_per_step": round(loop.seconds / max(loop.step, 1), 4),
        "prompts_per_second": round(loop.step * loop.prompts_per_step / max(loop.seconds, 1e-9), 2),
        "peak_memory_bytes": peak_memory(device),
        "parameters_tuned": trained,
        "parameters_base": sum(p.numel() for p in loop.encoder.model.parameters()) - trained,
        "base_digest": weights_digest(source),
        "example": loop.copies.pair(int(material.train[0]), 1),
    }
