"""Where the work is done, and in which precision."""

from __future__ import annotations

import contextlib
import os

import torch

from llmesr.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """``auto``: cuda, else mps, else cpu. Each process torchrun starts on a machine gets a GPU of its own.

    UserError when a device is asked for that is not there.
    """
    local, size = int(os.environ.get("LOCAL_RANK") or 0), int(os.environ.get("WORLD_SIZE") or 1)
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if name == "auto":  # Apple's GPU has no way to meet other processes
        name = "cpu" if size > 1 and available[0] == "mps" else available[0]
    if name.split(":")[0] not in available:
        raise UserError(f"Device {name!r} is not available here; available: {', '.join(available)}.")
    if name == "cuda" and size > 1:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"This is process {local + 1} on a machine with {torch.cuda.device_count()} GPUs: start one for each "
                "of them (--nproc-per-node), or use --device cpu."
            )
        return torch.device("cuda", local)
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bfloat16 matrix products where asked for (``auto``: on cuda), else nothing."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
