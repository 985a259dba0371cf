"""Rows of a large table that stay in their file until they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from llmesr.data.int8_rows import AT_ONCE, restored
from llmesr.errors import UserError

MAPPED_FROM = 2**24
"""Bytes from which a table that is asked for whole is mapped: pages are read as rows are looked at."""
STRETCH = 4_096
"""Rows that one read brings, at most: the system cuts reads of 2 GB and more."""


@dataclass(frozen=True, eq=False)
class RowFile:
    """(N, E) numbers in a file. Indexing reads the rows that are asked for, and keeps nothing.

    They are read, not mapped: pages of a mapped file count as memory of the process once it has touched them, which
    random rows soon do with all of them, and a file that is cut short would end the process.
    """

    path: Path
    begin: int
    """Where the first row begins, in bytes."""
    shape: tuple[int, int]
    stored: np.dtype
    """Of the numbers in the file."""
    scales: np.ndarray | None = None
    """(N,) of rows in int8."""
    remedy: str = "Embed the dataset again."
    """What to do when the file is gone or damaged, for people."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """Of what is read: rows of int8 come as float16."""
        return self.stored if self.scales is None else np.dtype(np.float16)

    @property
    def nbytes(self) -> int:
        """What all rows take in the file."""
        return self.shape[0] * self.shape[1] * self.stored.itemsize

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """A slice, or (n,) numbers from 0, cheapest in rising order -> (n, E). UserError when the file is gone or too
        short."""
        # In 64 bits: a place in the file is a number times the bytes of a row.
        numbers = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows.astype(np.int64, copy=False)
        read = np.frombuffer(self._read(numbers), self.stored).reshape(len(numbers), self.shape[1])
        if self.scales is None:
            return read
        whole = restored(torch.from_numpy(read), torch.from_numpy(self.scales[numbers]))
        return whole.numpy().astype(self.dtype)

    def whole(self) -> np.ndarray:
        """(N, E) at once: mapped where the file is large, in memory where it is small or its rows are in int8."""
        if self.scales is None and self.nbytes >= MAPPED_FROM:
            return mapped(self.path, self.begin, self.stored, self.shape)
        return np.concatenate(list(blocks(self)))

    def _read(self, numbers: np.ndarray) -> bytearray:
        """Rows that follow each other are read at once."""
        first = np.flatnonzero((np.diff(numbers, prepend=-2) != 1) | (numbers % STRETCH == 0))
        many = np.diff(first, append=len(numbers))
        width = self.shape[1] * self.stored.itemsize
        try:
            with open(self.path, "rb", buffering=0) as file:
                places = zip((self.begin + width * numbers[first]).tolist(), (width * many).tolist(), strict=True)
                found = bytearray().join(os.pread(file.fileno(), size, at) for at, size in places)
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error}. {self.remedy}") from error
        if len(found) != width * len(numbers):
            raise UserError(f"{self.path} is shorter than it says. {self.remedy}")
        return found


def blocks(rows: np.ndarray | RowFile, size: int = AT_ONCE) -> Iterator[np.ndarray]:
    """(N, E), ``size`` rows at a time; one empty block where there are none."""
    for start in range(0, max(len(rows), 1), size):
        yield rows[start : start + size]


def mapped(path: Path, begin: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array that lies in a file from ``begin`` on. OSError or ValueError when it does not."""
    return np.asarray(np.memmap(path, dtype, mode="c", offset=begin, shape=shape))
