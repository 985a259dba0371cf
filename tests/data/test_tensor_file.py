"""Arrays of a safetensors file are mapped where it is large, and are the same."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llmesr.data import row_file
from llmesr.data.tensor_file import arrays
from llmesr.store import header_bytes

THERE: dict[str, np.ndarray] = {
    "users": np.arange(6, dtype=np.int32).reshape(3, 2),
    "similarity": np.linspace(0, 1, 6, dtype=np.float32).reshape(3, 2),
    "half": np.array([0.5, -2.0, 3.0], np.float16),
}


def is_mapped(array: np.ndarray | None) -> bool:
    """Whether its numbers lie in a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


@pytest.mark.parametrize("mapped_from", [0, 2**24])
def test_the_same_values_mapped_or_read(mapped_from: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "MAPPED_FROM", mapped_from)
    save_file(THERE, tmp_path / "a", metadata={"of": "somebody"})
    found = arrays(tmp_path / "a")
    assert set(found) == set(THERE)
    for name, array in THERE.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert is_mapped(found[name]) == (mapped_from == 0)
    found["users"][0, 0] = 9  # in memory alone
    assert arrays(tmp_path / "a")["users"][0, 0] == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"x",
        header_bytes({"users": {"dtype": "I32", "shape": [3, 2], "data_offsets": [0, 24]}}) + b"\0" * 20,
        header_bytes({"users": {"dtype": "I32", "shape": [9, 2], "data_offsets": [0, 24]}}) + b"\0" * 24,
        header_bytes({"users": {"dtype": "I32", "shape": [-3, -2], "data_offsets": [0, 24]}}) + b"\0" * 24,
        header_bytes({"users": {"dtype": "?", "shape": [3, 2], "data_offsets": [0, 24]}}) + b"\0" * 24,
        header_bytes({"users": 3}),
        (4).to_bytes(8, "little") + json.dumps([[]]).encode(),
    ],
)
def test_what_is_damaged_says_so(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "MAPPED_FROM", 0)
    (tmp_path / "a").write_bytes(damage)
    with pytest.raises((OSError, ValueError, KeyError)):
        arrays(tmp_path / "a")
