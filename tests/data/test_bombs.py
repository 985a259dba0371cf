"""A look at a small file that would unpack to gigabytes takes little memory and ends in a sentence."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marketplace import csv, rows

from llmesr.data.heads import CELL
from llmesr.data.sources import describe
from llmesr.errors import UserError

LOOK = """
import resource, sys
from pathlib import Path
from llmesr.data.sources import describe
from llmesr.errors import UserError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    found = describe(Path(sys.argv[1]))
    print(len(found.columns), max(map(len, found.sample.iloc[0])), end=" ")
except UserError as error:
    print(error, end=" ")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
LIMIT = 900
"""Megabytes a look may take."""


def look(path: Path) -> tuple[str, int]:
    """What a look at a file in a process of its own says, and the megabytes it took; no process may take 6 GB."""
    limited = lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, preexec_fn=limited, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]
    said, _, megabytes = done.stdout.strip().rpartition(" ")
    return said, int(megabytes)


def _parquet(folder: Path, cells: list[str]) -> Path:
    """Three columns; ``cells`` (1 MB each and alike) repeated over 2,000 rows: two gigabytes in a few kilobytes."""
    column = pa.DictionaryArray.from_arrays(pa.array([n % len(cells) for n in range(2_000)], pa.int32()), cells)
    table = pa.table({"user_id": ["u"] * 2_000, "item_id": ["i"] * 2_000, "note": column})
    pq.write_table(table, folder / "x.parquet", compression="zstd", row_group_size=2_000)
    return folder / "x.parquet"


def test_a_parquet_file_of_long_cells(tmp_path: Path) -> None:
    path = _parquet(tmp_path, ["x" * 1_000_000])
    assert path.stat().st_size < 100_000
    said, megabytes = look(path)
    assert megabytes < LIMIT
    assert said == f"3 {CELL}" or "cannot be looked into" in said


@pytest.mark.slow
def test_a_parquet_file_of_one_giant_cell(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u"], "item_id": ["i"], "note": ["x" * 1_500_000_000]})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    del table
    assert (tmp_path / "x.parquet").stat().st_size < 1_000_000
    said, megabytes = look(tmp_path / "x.parquet")
    assert megabytes < LIMIT
    assert "cannot be looked into" in said


def test_gzip_is_unpacked_no_further_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as out:
        out.write(csv(rows()).encode())
        for _ in range(500):
            out.write(b"u1,i1,1500000000\n" * 60_000)
    said, megabytes = look(path)
    assert said == "3 10"
    assert megabytes < LIMIT


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_very_many_columns_are_said_and_refused(name: str, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(50_000)]
    csv_text = ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"
    (tmp_path / name).write_text(csv_text if name.endswith("csv") else json.dumps(dict.fromkeys(names, 1)) + "\n")
    with pytest.raises(UserError, match=r"has 50,000 columns; at most 10,000"):
        describe(tmp_path / name)


def test_wide_files_give_few_rows(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(5_000)]
    line = ",".join("x" for _ in names) + "\n"
    (tmp_path / "x.csv").write_text(",".join(names) + "\n" + line * 60)
    assert len(describe(tmp_path / "x.csv").sample) == 40


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, "[" + '{"a":[' * 50_000])
def test_deep_nesting_ends_in_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text + "\n")
    with pytest.raises(UserError, match=r"x\.json"):
        describe(tmp_path / "x.json")


def test_a_first_row_longer_than_a_look_is_named_as_that(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("user_id,item_id\n" + "u" * 2_000_000 + ",i1\n" + "u1,i1\n" * 50)
    with pytest.raises(UserError, match="a line of more than a megabyte where its first row should be"):
        describe(path)
    path.write_text("user_id,item_id\n")
    with pytest.raises(UserError, match="a header but no rows"):
        describe(path)
