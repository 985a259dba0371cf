"""Item and user vectors in one safetensors file: written some users at a time, mapped where it is large."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

MAPPED_FROM = 2**24
"""Bytes from which a file is mapped: pages are read as rows are asked for."""
_NAMES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


def write_vectors(path: Path, items: np.ndarray, users: Iterable[np.ndarray], n_users: int) -> int:
    """Write ``items`` (N, E) and ``users``, blocks of (n, E) of the same dtype that are ``n_users`` rows together.
    Returns how many users have no vector."""
    if items.dtype == np.float32:  # small enough to be held whole
        whole = np.ascontiguousarray(np.concatenate(list(users)))
        save_file({"items": np.ascontiguousarray(items), "users": whole}, path)
        return int((~whole.any(axis=1)).sum())
    shapes = {"items": items.shape, "users": (n_users, items.shape[1])}
    name = next(name for name, dtype in _NAMES.items() if dtype == items.dtype)
    header, end, empty = {}, 0, 0
    for key, shape in shapes.items():
        begin, end = end, end + shape[0] * shape[1] * items.dtype.itemsize
        header[key] = {"dtype": name, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        np.ascontiguousarray(items).tofile(file)
        for block in users:
            empty += int((~block.any(axis=1)).sum())
            np.ascontiguousarray(block).tofile(file)
    return empty


def read_vectors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The items (N, E) and the users (U, E). OSError, ValueError, KeyError or SafetensorError when damaged."""
    if path.stat().st_size < MAPPED_FROM:
        found = load_file(path)
        return found["items"], found["users"]
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 10_000:
            raise ValueError("its header is none")
        header = json.loads(file.read(length))
    items, users = (_mapped(path, header[key], 8 + length) for key in ("items", "users"))
    return items, users


def _mapped(path: Path, told: dict[str, Any], start: int) -> np.ndarray:
    dtype: np.dtype[Any] = _NAMES[str(told["dtype"])]
    shape = (int(told["shape"][0]), int(told["shape"][1]))
    at = start + int(told["data_offsets"][0])
    return np.asarray(np.memmap(path, dtype, mode="c", offset=at, shape=shape))
