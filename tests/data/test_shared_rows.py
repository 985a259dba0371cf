"""What one process worked out all find, and what is not whole nobody takes for whole."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmesr.data import shared_rows
from llmesr.data.shared_rows import SharedRows, room

ROWS, WIDTH = 200, 11
BYTES = 4 * (WIDTH + 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    room(tmp_path / "rows", ROWS, WIDTH)
    return tmp_path / "rows"


def values(numbers: np.ndarray) -> np.ndarray:
    """What belongs to each number."""
    return (numbers[:, None] * 100 + np.arange(WIDTH)).astype(np.int32)


def opened(path: Path | None) -> SharedRows:
    return SharedRows(ROWS, WIDTH, path)


def there(path: Path) -> list[int]:
    """Which rows somebody who comes new finds; their numbers are right."""
    rows = opened(path)
    rows.find(np.arange(ROWS))
    found = np.flatnonzero(rows.known)
    assert np.array_equal(rows.get(found), values(found))
    return found.tolist()


def test_what_is_put_is_found_by_others_and_by_the_next(path: Path) -> None:
    one, other = opened(path), opened(path)
    some = np.array([7, 3, 150])
    one.put(some, values(some))
    assert not other.known.any()
    other.find(np.arange(ROWS))
    assert np.flatnonzero(other.known).tolist() == [3, 7, 150]
    assert np.array_equal(other.get(some), values(some))
    assert there(path) == [3, 7, 150]
    assert one.shared


def test_without_a_file_they_are_of_this_process() -> None:
    rows = opened(None)
    some = np.array([5, 0])
    rows.put(some, values(some))
    rows.find(np.arange(ROWS))
    assert np.flatnonzero(rows.known).tolist() == [0, 5]
    assert np.array_equal(rows.get(some), values(some))
    assert not rows.shared


def test_room_that_nobody_wrote_to_takes_none(tmp_path: Path) -> None:
    room(tmp_path / "large", 1_000_000, WIDTH)
    rows = SharedRows(1_000_000, WIDTH, tmp_path / "large")
    rows.put(np.array([900_000]), values(np.array([900_000])))
    assert (tmp_path / "large").stat().st_blocks * 512 < 100_000


@pytest.mark.parametrize("kept", [(0, BYTES // 2), (BYTES // 2, BYTES), (0, BYTES - 8), (BYTES - 8, BYTES)])
def test_a_row_of_which_a_part_was_written_is_not_there(path: Path, kept: tuple[int, int]) -> None:
    """In whatever order its parts reached the disk."""
    opened(path).put(np.arange(10), values(np.arange(10)))
    whole = path.read_bytes()
    row = whole[4 * BYTES : 5 * BYTES]
    part = bytes(kept[0]) + row[slice(*kept)] + bytes(BYTES - kept[1])
    path.write_bytes(whole[: 4 * BYTES] + part + whole[5 * BYTES :])
    assert there(path) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    again = opened(path)
    again.put(np.array([4]), values(np.array([4])))
    assert there(path) == list(range(10))


def test_a_damaged_or_misplaced_row_is_not_there(path: Path) -> None:
    opened(path).put(np.arange(1, 4), values(np.arange(1, 4)))
    content = bytearray(path.read_bytes())
    content[2 * BYTES + 9] ^= 1
    content[7 * BYTES : 8 * BYTES] = content[BYTES : 2 * BYTES]
    path.write_bytes(content)
    assert there(path) == [1, 3]


def test_what_is_there_is_never_written_again(path: Path) -> None:
    one, other = opened(path), opened(path)
    one.put(np.array([6]), values(np.array([6])))
    other.put(np.array([6, 8]), values(np.array([60, 8])))
    assert there(path) == [6, 8]
    assert np.array_equal(other.get(np.array([6])), values(np.array([6])))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from llmesr.data.shared_rows import SharedRows
rows = SharedRows({rows}, {width}, Path(sys.argv[1]))
for number in np.random.default_rng(int(sys.argv[2])).permutation({rows}):
    rows.put(np.array([number]), (number * 100 + np.arange({width}, dtype=np.int32))[None])
assert rows.shared
"""


def test_processes_write_the_same_rows_at_once(path: Path) -> None:
    program = WRITER.format(rows=ROWS, width=WIDTH)
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(seed)]) for seed in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert there(path) == list(range(ROWS))


def test_threads_write_and_read_the_same_rows_at_once(path: Path) -> None:
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rows, order = opened(path), np.random.default_rng(seed).permutation(ROWS)
        for some in np.split(order, 20):
            rows.find(some)
            new = some[~rows.known[some]]
            rows.put(new, values(new))
            if not np.array_equal(rows.get(some), values(some)):
                wrong.append(some)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert there(path) == list(range(ROWS))


@pytest.mark.parametrize("short", [False, True])
def test_a_full_disk_leaves_what_is_new_in_memory(
    short: bool, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the system refuses a row, or takes a part of it."""
    rows, write, left = opened(path), os.pwrite, [5]

    def full(file: int, content: Any, at: int) -> int:
        left[0] -= 1
        if left[0] < 0 and short:
            return write(file, bytes(content)[:20], at)
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(file, content, at)

    monkeypatch.setattr(os, "pwrite", full)
    with caplog.at_level(logging.WARNING):
        for start in range(0, 30, 3):
            some = np.arange(start, start + 3)
            rows.put(some, values(some))
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert not rows.shared
    assert np.array_equal(rows.get(np.arange(30)), values(np.arange(30)))
    assert there(path) == [0, 1, 2, 3, 4]


def test_a_file_that_may_only_be_read_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(path).put(np.arange(3), values(np.arange(3)))

    def readable(name: str, mode: str) -> FileIO:
        if "+" in mode:
            raise PermissionError(13, "Permission denied", name)
        return FileIO(name, mode)

    monkeypatch.setattr(shared_rows, "FileIO", readable)
    rows = opened(path)
    rows.find(np.arange(ROWS))
    rows.put(np.arange(3, 6), values(np.arange(3, 6)))
    assert np.array_equal(rows.get(np.arange(6)), values(np.arange(6)))
    assert len(caplog.records) == 1
    monkeypatch.undo()
    assert there(path) == [0, 1, 2]


def test_a_file_that_was_removed_goes_on_for_who_has_it(path: Path) -> None:
    rows = opened(path)
    path.unlink()
    rows.put(np.arange(3), values(np.arange(3)))
    assert np.array_equal(rows.get(np.arange(3)), values(np.arange(3)))
