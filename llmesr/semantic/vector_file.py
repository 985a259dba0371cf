"""Item and user vectors in one safetensors file: written some users at a time, mapped where it is large."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from llmesr.data import row_file
from llmesr.data.int8_rows import quantised
from llmesr.data.row_file import RowFile, mapped
from llmesr.data.tensor_file import NAMES, lying
from llmesr.store import header_bytes


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
        said = next(known for known, of in NAMES.items() if of == dtype)
        header[name] = {"dtype": said, "shape": list(shape), "data_offsets": [begin, end]}
    return header_bytes(header)


def read_vectors(path: Path) -> tuple[RowFile, np.ndarray]:
    """The items (N, E), which stay in the file, and the users (U, E), mapped where the file is large. OSError,
    ValueError, KeyError or SafetensorError when damaged."""
    small = load_file(path) if path.stat().st_size < row_file.MAPPED_FROM else {}
    arrays = lying(path)
    first, dtype, shape = arrays["items"]
    found = {name: small[name] if small else mapped(path, *arrays[name]) for name in arrays if name != "items"}
    scales = np.array(found["scales"]) if dtype == np.int8 else None
    return RowFile(path, first, (shape[0], shape[1]), dtype, scales), found["users"]
