"""Low-rank updates (LoRA) of a language model: where they go, and how they are stored apart from the model."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from llmesr.errors import UserError
from llmesr.semantic.embedders.backbone import reading

ADAPTER = "adapter"
"""Folder of the peft files inside an artifact of kind ``adapters``."""
WEIGHTS = "adapter_model.safetensors"

_ROUTERS = ("gate", "router")


def target_modules(model: nn.Module) -> list[str]:
    """Names of the projections inside the model's repeated blocks: all of attention and of the MLP.

    Blocks always live in a ``ModuleList``, heads, poolers and embeddings never do, so this needs no table of
    architectures. Routers of mixtures of experts are left alone. UserError when there is nothing to tune.
    """
    from transformers.pytorch_utils import Conv1D  # GPT-2 calls its linear layers that

    stacks = [f"{name}." for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module)]
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and any(name.startswith(stack) for stack in stacks)
        and name.rpartition(".")[2] not in _ROUTERS
    ]
    if not found:
        raise UserError(
            f"A {type(model).__name__} has no linear layers in repeated blocks, so LoRA has nothing to tune."
        )
    return found


def attach(model: nn.Module, *, rank: int, alpha: int, dropout: float) -> Any:
    """``model`` as a peft model in which only the updates can be trained. They start as no change at all."""
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=target_modules(model))
    with _quiet():
        wrapped = get_peft_model(model, settings)
    # peft keeps the modules as a set and fills them in its order, which differs from process to process.
    for name, weights in sorted(wrapped.named_parameters()):
        if ".lora_A." in name:
            nn.init.kaiming_uniform_(weights, a=math.sqrt(5))
    return wrapped


def recompute_activations(model: Any) -> None:
    """Trade time for memory: keep only block inputs, compute the rest again going back. UserError when it cannot."""
    try:
        with _quiet():
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except ValueError as error:
        raise UserError(
            f"A {type(model).__name__} cannot recompute activations; set gradient_checkpointing=false."
        ) from error


def merge_adapter(model: Any, folder: Path | str) -> Any:
    """``model`` with the stored updates added to its weights. UserError when they do not fit."""
    from peft import PeftModel

    if not (Path(folder) / WEIGHTS).is_file():  # the library would look for a pickle, too
        raise UserError(f"The adapter in {folder} is damaged: {WEIGHTS} is missing.")
    with reading(f"The adapter in {folder} does not fit the model"), _quiet():
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """Write the updates (safetensors and json) to ``folder``; ``base`` is how the user named the model."""
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = base  # not the path it has on this machine
    # False: without it peft asks the hub whether the vocabulary grew
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form about the model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notice that names used between peft and transformers will change in the next major version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
        yield
