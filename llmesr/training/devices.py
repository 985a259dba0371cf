"""Where the work is done, and in which precision."""

from __future__ import annotations

import contextlib

import torch

from llmesr.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """``auto``: cuda, else mps, else cpu. UserError when a device is asked for that is not there."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if name == "auto":
        return torch.device(available[0])
    if name.split(":")[0] not in available:
        raise UserError(f"Device {name!r} is not available here; available: {', '.join(available)}.")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """bfloat16 matrix products where asked for (``auto``: on cuda), else nothing."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
