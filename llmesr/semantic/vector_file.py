"""Item and user vectors in one safetensors file: written some users at a time, mapped where it is large."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from llmesr.data.int8_rows import AT_ONCE, quantised, restored
from llmesr.store import header_bytes, read_header

MAPPED_FROM = 2**24
"""Bytes from which a file is mapped: pages are read as rows are asked for."""
_NAMES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I8": np.dtype("i1")}


def write_vectors(
    path: Path, items: np.ndarray, users: Iterable[np.ndarray], n_users: int, *, int8: bool = False
) -> int:
    """Write ``items`` (N, E) and ``users``, blocks of (n, E) of the same dtype that are ``n_users`` rows together; with
    ``int8`` the items in 8 bits a number and the users in float16. Returns how many users have no vector."""
    if items.dtype == np.float32 and not int8:  # small enough to be held whole
        whole = np.ascontiguousarray(np.concatenate(list(users)))
        save_file({"items": np.ascontiguousarray(items), "users": whole}, path)
        return int((~whole.any(axis=1)).sum())
    first, last = {"items": items}, dict[str, np.ndarray]()
    if int8:
        codes, scales = (found.numpy() for found in quantised(torch.from_numpy(items)))
        first, last = {"scales": scales}, {"items": codes}  # the widest numbers first, so that all are aligned
    shape, empty = (n_users, items.shape[1]), 0
    kept = np.dtype(np.float16) if int8 else items.dtype
    told = {name: (array.shape, array.dtype) for name, array in first.items()} | {"users": (shape, kept)}
    told |= {name: (array.shape, array.dtype) for name, array in last.items()}
    with open(path, "wb") as file:
        file.write(_header(told))
        for array in first.values():
            np.ascontiguousarray(array).tofile(file)
        for block in users:
            empty += int((~block.any(axis=1)).sum())
            np.ascontiguousarray(block).tofile(file)
        for array in last.values():
            array.tofile(file)
    return empty


def _header(arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> bytes:
    """How a safetensors file begins that holds arrays of these shapes and dtypes in this order."""
    header: dict[str, Any] = {}
    end = 0
    for name, (shape, dtype) in arrays.items():
        begin, end = end, end + int(np.prod(shape)) * dtype.itemsize
        said = next(known for known, of in _NAMES.items() if of == dtype)
        header[name] = {"dtype": said, "shape": list(shape), "data_offsets": [begin, end]}
    return header_bytes(header)


def read_vectors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The items (N, E) and the users (U, E); items of int8 come as float16. OSError, ValueError, KeyError or
    SafetensorError when damaged."""
    if path.stat().st_size < MAPPED_FROM:
        found = load_file(path)
    else:
        header, begin = read_header(path, longest=10_000)
        found = {name: _mapped(path, told, begin) for name, told in header.items()}
    items, users = found["items"], found["users"]
    if items.dtype != np.int8:
        return items, users
    rows = np.empty(items.shape, np.float16)
    for start in range(0, len(items), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        rows[some] = restored(torch.from_numpy(items[some]), torch.from_numpy(found["scales"][some]))
    return rows, users


def _mapped(path: Path, told: dict[str, Any], start: int) -> np.ndarray:
    dtype: np.dtype[Any] = _NAMES[str(told["dtype"])]
    shape = tuple(int(length) for length in told["shape"])
    at = start + int(told["data_offsets"][0])
    return np.asarray(np.memmap(path, dtype, mode="c", offset=at, shape=shape))
