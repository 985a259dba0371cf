"""Where the work is done, and in which precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

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


@contextlib.contextmanager
def threads(device: torch.device) -> Iterator[None]:
    """On a processor, half of its cores while a model of this size trains; OMP_NUM_THREADS says otherwise.

    Steps take milliseconds, and at each operation the threads wait for the slowest: where one core is busy with
    something else (the app, a browser), using all of two took six times as long as using one. All cores of an idle
    machine would gain a quarter.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, min(before, cores // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
