"""A look in a process of its own says what a look here says, and survives what would not let this one."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from marketplace import csv, rows

from llmesr.config import IngestConfig
from llmesr.data import look as looking
from llmesr.data.look import look
from llmesr.data.sources import describe
from llmesr.errors import UserError

CONFIG = IngestConfig(name="preview")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "x.csv").write_text(csv(rows()))
    return tmp_path / "x.csv"


def written(folder: Path, name: str) -> Path:
    frame = pd.DataFrame(rows()[1:], columns=[str(c) for c in rows()[0]])
    path = folder / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps({k: str(v) for k, v in r.items()}) + "\n" for r in frame.to_dict("records")))
    elif name.endswith("gz"):
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        path.write_text(frame.to_csv(index=False, sep=";"))
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "x.csv.gz"])
def test_it_says_what_a_look_here_says(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name)
    here, there = describe(path, CONFIG), look(path, CONFIG)
    pd.testing.assert_frame_equal(there.sample, here.sample)
    assert {**vars(there), "sample": 0} == {**vars(here), "sample": 0}


def test_how_the_file_is_written_travels_too(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user;item\nä;1\nö;2\n", encoding="cp1252")
    config = IngestConfig(name="preview", encoding="cp1252", delimiter=";")
    assert look(tmp_path / "x.csv", config).sample["user"].tolist() == ["ä", "ö"]


def test_what_is_refused_is_refused_in_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"PK\x03\x04" + b"\0" * 40)
    with pytest.raises(UserError, match=r"x\.csv is a ZIP archive"):
        look(tmp_path / "x.csv", CONFIG)


@pytest.mark.parametrize("program", ["import os; os.abort()", "import sys; sys.exit(3)"])
def test_a_reader_that_breaks_is_a_sentence(program: str, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PROGRAM", (sys.executable, "-c", program))
    with pytest.raises(UserError, match="what reads it broke off"):
        look(table, CONFIG)


def test_a_reader_that_does_not_end_is_ended(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "SECONDS", 1)
    monkeypatch.setattr(looking, "PATIENCE", 0.2)
    monkeypatch.setattr(looking, "PROGRAM", (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(UserError, match="takes longer than 1 seconds to look into"):
        look(table, CONFIG)
    monkeypatch.setattr(looking, "PATIENCE", 500)
    busy = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 5))\nwhile True: pass"
    monkeypatch.setattr(looking, "PROGRAM", (sys.executable, "-c", busy))
    with pytest.raises(UserError, match="takes longer than 1 seconds"):
        look(table, CONFIG)


def test_it_may_write_no_file_and_take_no_more_than_it_may(table: Path, tmp_path: Path) -> None:
    hungry = (
        "import llmesr.data.look as looking\n"
        "def describe(path, config):\n"
        "    try:\n        open(path.with_name('spill'), 'w').write('x' * 9999)\n    except OSError:\n        pass\n"
        "    return bytes(5 << 30)\n"
        "looking.describe = describe\nlooking.main()\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "PROGRAM", (sys.executable, "-c", hungry))
        with pytest.raises(UserError, match="needs too much memory"):
            look(table, CONFIG)
    assert not (tmp_path / "spill").exists() or (tmp_path / "spill").stat().st_size == 0
