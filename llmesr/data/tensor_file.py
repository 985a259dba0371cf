"""The arrays of a safetensors file, where they lie in it and themselves: mapped where the file is large."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from llmesr.data import row_file
from llmesr.store import read_header

NAMES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "I8": np.dtype("i1"),
    "I32": np.dtype("<i4"),
}

Lies = tuple[int, np.dtype[Any], tuple[int, ...]]
"""Where an array begins in its file, its dtype and its shape."""


def lying(path: Path) -> dict[str, Lies]:
    """Where the arrays of a file lie. OSError, ValueError or KeyError when it is damaged or is cut short."""
    header, begin = read_header(path, longest=10_000)
    try:
        found = {name: _lies(told, begin) for name, told in header.items() if name != "__metadata__"}
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError("its header is none") from error
    if path.stat().st_size < max((first + _bytes(dtype, shape) for first, dtype, shape in found.values()), default=0):
        raise ValueError("it is shorter than it says")
    return found


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name, mapped where it is large: pages are read as rows are looked at, and what is mapped
    stays readable when the file is replaced or deleted. OSError, ValueError, KeyError or SafetensorError when damaged.
    """
    if path.stat().st_size < row_file.MAPPED_FROM:
        return dict(load_file(path))
    return {name: row_file.mapped(path, *lies) for name, lies in lying(path).items()}


def _lies(told: dict[str, Any], begin: int) -> Lies:
    dtype, shape = NAMES[str(told["dtype"])], tuple(int(length) for length in told["shape"])
    first, end = (int(at) for at in told["data_offsets"])
    if min((first, *shape)) < 0 or end - first != _bytes(dtype, shape):
        raise ValueError("an array has other bytes than its shape says")
    return begin + first, dtype, shape


def _bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return dtype.itemsize * math.prod(shape)
