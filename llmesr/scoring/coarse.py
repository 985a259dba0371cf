"""Products in bfloat16, which some processors make several times as fast as in float32, and how far they may be off."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

ROUNDED = 2**-7
"""A product of vectors u and i in bfloat16 is off by less than this times their lengths: 2^-8 for two roundings to
eight bits (by Cauchy and Schwarz), half of that for the sum's own, and what is made of it may itself be rounded."""


@cache
def pays(device: torch.device) -> bool:
    """Whether a processor multiplies bfloat16 by itself."""
    flags = Path("/proc/cpuinfo")
    return device.type == "cpu" and flags.is_file() and bool({"avx512_bf16", "amx_bf16"} & {*flags.read_text().split()})
