"""Rows of numbers that take long to work out, found by every process once one of them has done it.

They lie in a file that all map. A row is there when the checksum behind it is that of its number and its numbers; what
a killed process wrote in part, what a power cut kept of it (a system writes pages in any order) and what was damaged
since is not, and is worked out again. So nothing need be flushed, and no flag can be on the disk before its row is.
A row that is there is never written again: nobody reads one that changes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import mmap
import os
from io import FileIO
from pathlib import Path
from typing import Literal

import numpy as np

log = logging.getLogger(__name__)
_SUM = 2
"""Numbers of 32 bits that a checksum takes."""


class SharedRows:
    """(N, W) numbers of 32 bits, some rows at a time. Of one thread at a time; other processes have their own."""

    def __init__(self, rows: int, width: int, path: Path | None = None) -> None:
        """``path``: the file, of :func:`room`; without one they are this process's own. ValueError or OSError when it
        cannot be mapped."""
        self._width = width
        self.known = np.zeros(rows, bool)
        """(N,) which have been found or put; others may have worked out more."""
        self._file: FileIO | None = None
        self._shape = (rows, width + _SUM)
        self._shared = False
        if path is None:
            # Pages that nobody wrote to are free, as they are on the disk. Those of numpy come in 2 MB at a time.
            own = mmap.mmap(-1, max(1, 4 * rows * self._shape[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._table = np.frombuffer(own, np.int32, rows * self._shape[1]).reshape(self._shape)
        else:
            self._open(path)

    @property
    def nbytes(self) -> int:
        """What all rows take."""
        return self._table.nbytes

    @property
    def shared(self) -> bool:
        """Whether others find what is put."""
        return self._shared

    def find(self, numbers: np.ndarray) -> None:
        """Have those of ``numbers`` known that are there."""
        new = numbers[~self.known[numbers]]
        if self._file is not None and len(new):
            new = new[self._table[new, self._width :].any(1)]
            self.known[new] = [self._whole(number) for number in new.tolist()]

    def get(self, numbers: np.ndarray) -> np.ndarray:
        """(n, W) int32 of ``numbers`` that are known."""
        found: np.ndarray = self._table[numbers][:, : self._width]
        return found

    def put(self, numbers: np.ndarray, values: np.ndarray) -> None:
        """``values`` (n, W) int32 of different ``numbers``. Once the disk is full, what follows stays in the memory of
        this process, and the log says so."""
        rows = np.empty((len(numbers), self._table.shape[1]), np.int32)
        rows[:, : self._width] = values
        for number, row in zip(numbers.tolist(), rows, strict=True):
            row[self._width :] = _checksum(number, row[: self._width])
        if self._shared:
            try:
                self._write(numbers, rows)
            except OSError as error:
                self._keep_to_itself(error)
        if not self._shared:
            self._table[numbers] = rows
        self.known[numbers] = True

    def _open(self, path: Path) -> None:
        try:
            self._file = FileIO(str(path), "r+b")
            self._table, self._shared = self._mapped("r"), True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._file = FileIO(str(path), "rb")
            self._keep_to_itself(error)

    def _keep_to_itself(self, error: OSError) -> None:
        assert self._file is not None
        log.warning("%s cannot be written to (%s); what is new stays in memory.", self._file.name, error.strerror)
        self._table, self._shared = self._mapped("c"), False

    def _mapped(self, mode: Literal["r", "c"]) -> np.ndarray:
        """The file: ``r`` as it is and becomes, ``c`` with what this process writes to it in its memory alone."""
        return np.asarray(np.memmap(self._file, np.int32, mode=mode, shape=self._shape))  # type: ignore[arg-type]

    def _write(self, numbers: np.ndarray, rows: np.ndarray) -> None:
        """Through the file: on a full disk, to write to its mapping would end the process."""
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            for number, row in zip(numbers.tolist(), rows, strict=True):
                if not self._whole(number) and os.pwrite(self._file.fileno(), row, number * row.nbytes) < row.nbytes:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _whole(self, number: int) -> bool:
        row = self._table[number]
        return bool((row[self._width :] == _checksum(number, row[: self._width])).all())


def room(path: Path, rows: int, width: int) -> None:
    """Make the file of (rows, width) numbers, none of which is there."""
    with open(path, "wb") as file:
        file.truncate(rows * (width + _SUM) * 4)


def _checksum(number: int, row: np.ndarray) -> np.ndarray:
    """(2,) int32."""
    made = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=4 * _SUM)
    made.update(row.tobytes())
    return np.frombuffer(made.digest(), np.int32)
