"""The full state of a training run in one safetensors file, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from llmesr.errors import UserError
from llmesr.store import replacing


def save_tensors(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON-serialisable state; readers see the old file or the new one.

    UserError when the file cannot be written (a full disk): the old one stays, nothing half-written does.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kept[name] = _alone(tensor, kept)
    try:
        with replacing(path) as temporary:
            save_file(kept, temporary, metadata={"state": json.dumps(state)})
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be written ({error}). Free space on that disk and resume; the checkpoint before it is kept."
        ) from error


def _alone(tensor: Tensor, others: dict[str, Tensor]) -> Tensor:
    """The tensor on the CPU, in memory that it has for itself: a copy only where it shares it."""
    found = tensor.detach().cpu().contiguous()
    storage = found.untyped_storage()
    taken = any(storage.data_ptr() == other.untyped_storage().data_ptr() for other in others.values())
    return found.clone() if taken or storage.nbytes() > found.nbytes else found


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote. UserError when the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, json.loads((file.metadata() or {}).get("state", "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged and cannot be read: {error}.") from error


def pack(
    model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device, extra: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Model, optimizer and random generators as tensors plus plain values."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    optimizer_state = optimizer.state_dict()
    for index, slots in optimizer_state["state"].items():
        tensors.update({f"optimizer/{index}/{slot}": value for slot, value in slots.items()})
    tensors["random/cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    tensors.update({f"extra/{k}": v for k, v in extra.items()})
    return tensors, {"param_groups": optimizer_state["param_groups"]}


def unpack(
    tensors: dict[str, Tensor],
    state: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> dict[str, Tensor]:
    """The reverse of :func:`pack`; returns the extra tensors."""
    model.load_state_dict(_under(tensors, "model/"))
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer/").items():
        index, slot = key.split("/")
        slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
    return _under(tensors, "extra/")


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
