"""Fine-tune a language model on a dataset's items, or on what is chosen, and keep the adapter."""

from __future__ import annotations

import time
from typing import Any

import torch

from llmesr.config import EmbedConfig, FinetuneConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.runs.finetune import Finetune
from llmesr.semantic.contrastive import Encoder
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
from llmesr.training.devices import pick_device
from llmesr.training.finetune_loop import FinetuneLoop, peak_memory
from llmesr.training.material import Material, gather
from llmesr.training.runtime import Runtime
from llmesr.training.stopping import recorded_end, terminate


def finetune(
    dataset: Dataset,
    config: FinetuneConfig,
    store: Store,
    *,
    run_id: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Finetune:
    """Fine-tune ``config.base`` on ``dataset`` by the objective of ``config``; the finished adapter is an artifact.

    Stopped by SIGTERM it keeps a checkpoint, leaves the run STOPPED and raises
    :class:`~llmesr.training.stopping.Stopped`; :func:`resume_finetune` goes on to the same result.
    UserError when the items have too little text, the model cannot be read, or the loss is no longer a number.
    """
    on = pick_device(device)
    material = gather(dataset, config, store)
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
        material = gather(load_dataset(run.store, run.dataset_id), run.config, run.store)
        return _carry_out(run, material, locate(run.config.base), pick_device(device), progress)


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
                objective=material.objective,
                train_rows=material.train,
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
        "chance": material.objective.chance or 1 / len(material.held_out),
        "steps": loop.step,
        "best_step": loop.stopper.best_epoch,
        f"{material.rows}_trained": len(material.train),
        "items_held_out": len(material.held_out),
        "items_skipped": material.skipped,
        "seconds_per_step": round(loop.seconds / max(loop.step, 1), 4),
        "prompts_per_second": round(loop.step * loop.prompts_per_step / max(loop.seconds, 1e-9), 2),
        "peak_memory_bytes": peak_memory(device),
        "parameters_tuned": trained,
        "parameters_base": sum(p.numel() for p in loop.encoder.model.parameters() if not p.requires_grad),
        "base_digest": weights_digest(source),
        "example": [text for side in material.objective.pairs(material.train[:1], 1) for text in side],
    }
