"""Rows that stay in their file: what is read is what was written, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from llmesr.data import row_file
from llmesr.data.int8_rows import quantised, restored
from llmesr.data.row_file import RowFile, blocks
from llmesr.errors import UserError

ROWS = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)


def written(folder: Path, rows: np.ndarray, scales: np.ndarray | None = None) -> RowFile:
    """``rows`` (N, E) behind seven bytes that are not theirs."""
    path = folder / "rows"
    path.write_bytes(b"\xff" * 7 + rows.tobytes() + b"\xff" * 7)
    return RowFile(path, 7, (rows.shape[0], rows.shape[1]), rows.dtype, scales)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "asked",
    [[3], [0, 1, 2], [22, 21, 0, 5, 6, 7], [4, 4, 5], [7, 8, 9, 10, 11, 15, 16], [], slice(2, 9), slice(20, 99)],
)
def test_rows_are_those_of_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int] | slice, dtype: type
) -> None:
    monkeypatch.setattr(row_file, "STRETCH", 4)
    rows: np.ndarray = ROWS.astype(dtype)
    which = asked if isinstance(asked, slice) else np.array(asked, int)
    found = written(tmp_path, rows)[which]
    np.testing.assert_array_equal(found, rows[which])
    assert found.dtype == dtype


def test_rows_of_int8_come_as_half(tmp_path: Path) -> None:
    codes, scales = quantised(torch.from_numpy(ROWS))
    file = written(tmp_path, codes.numpy(), scales.numpy())
    expected = restored(codes, scales).half().numpy()
    np.testing.assert_array_equal(file[np.array([5, 2])], expected[[5, 2]])
    np.testing.assert_array_equal(file.whole(), expected)
    assert file.dtype == file.whole().dtype == np.float16


def test_all_come_in_blocks(tmp_path: Path) -> None:
    for rows in (ROWS, written(tmp_path, ROWS)):
        found = list(blocks(rows, 10))
        assert [len(block) for block in found] == [10, 10, 3]
        np.testing.assert_array_equal(np.concatenate(found), ROWS)


def test_a_file_that_is_gone_or_cut_is_a_sentence(tmp_path: Path) -> None:
    file = written(tmp_path, ROWS)
    file.path.write_bytes(file.path.read_bytes()[:100])
    assert len(file[:3]) == 3
    with pytest.raises(UserError, match="is shorter than it says"):
        file[:]
    file.path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        file[:3]


def test_rows_far_behind_are_found_by_numbers_of_32_bits(tmp_path: Path) -> None:
    """Their places in the file are larger than such a number can be."""
    wide, many = 2**14, 2**16 + 1  # of which nothing but the last row is written
    path = tmp_path / "rows"
    with open(path, "wb") as file:
        file.seek((many - 1) * wide * 2)
        file.write(np.ones(wide, np.float16).tobytes())
    rows = RowFile(path, 0, (many, wide), np.dtype(np.float16))
    assert path.stat().st_size > 2**31
    assert rows[np.array([0, many - 1], np.int32)].sum(axis=1).tolist() == [0, wide]
