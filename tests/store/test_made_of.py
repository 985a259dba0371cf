"""A run whose manifest says nonsense of what it is made of hurts nobody but itself."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_run

from llmesr.errors import UserError
from llmesr.runs.record import Run, list_runs
from llmesr.store import MANIFEST, Store, export_archive, import_archive

GOOD = {"policy": {"run": "one", "values": {"popularity": -0.5}}}
NONSENSE: list[dict[str, Any]] = [
    {"config": {}},
    {"config": {"method": 7}},
    {"config": {"method": "blend"}},
    {"config": {"method": "external", "first": "../../elsewhere"}},
    {"config": {"method": "id", "seed": "x"}},
    {"config": {"method": "id", "max_length": -1}},
    {"info": {"policy": 1}},
    {"info": {"policy": {"run": "one"}}},
    {"info": {"policy": {"run": "one", "values": []}}},
    {"info": {"policy": {"run": "two", "values": {}}}},
    {"info": {"policy": {"run": "spoiled", "values": {}}}},
    {"info": {"blend": {}}},
    {"info": {"blend": {"runs": None}}},
    {"info": {"blend": {"runs": []}}},
    {"info": {"blend": {"runs": ["one", "two"]}}},
    {"info": {"blend": {"runs": ["one", {"a": 1}]}}},
    {"info": {"blend": {"runs": ["one", "spoiled"]}}},
    {"info": {"blend": {"runs": ["one"], "emphasis": float("nan")}}},
    {"info": {"allocation": {"first": "one"}}},
    {"info": {"allocation": {"first": "one", "second": "spoiled", "candidates": 5}}},
    {"info": {"allocation": {"first": "one", "second": "one", "candidates": 0}}},
    {"info": {"best_epoch": "late"}},
    {"info": {"notes": 3}},
]


@pytest.fixture
def spoiled(store: Store) -> Run:
    """A run made from ``one``, beside ``two``, which it has nothing to do with."""
    shop = make_dataset(store, users=40, items=20)
    one = make_run(store, shop, "id", id="one")
    make_run(store, shop, "popularity", id="two")
    return make_run(store, shop, "llm-init", id="spoiled", parents=(one.manifest,))


def _say(run: Run, changes: dict[str, Any]) -> None:
    path = run.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_well_said_is_read(store: Store, spoiled: Run) -> None:
    _say(spoiled, {"info": GOOD})
    assert store.manifest("runs", "spoiled").info == GOOD


@pytest.mark.parametrize("changes", NONSENSE, ids=str)
def test_nonsense_is_a_damaged_run_and_no_other_suffers(changes: dict[str, Any], store: Store, spoiled: Run) -> None:
    _say(spoiled, changes)
    with pytest.raises(UserError, match="'spoiled' cannot be read"):
        store.manifest("runs", "spoiled")
    assert {run.id for run in list_runs(store)} == {"one", "two"}
    assert list(store.broken("runs")) == ["spoiled"]


@pytest.mark.parametrize("changes", NONSENSE[::4], ids=str)
def test_an_archive_that_says_nonsense_is_refused(
    changes: dict[str, Any], store: Store, spoiled: Run, tmp_path: Path
) -> None:
    whole = (spoiled.folder / MANIFEST).read_text()
    archive = export_archive(store, "runs", "spoiled", tmp_path / "run.tar.gz")
    _say(spoiled, changes)
    nonsense = (spoiled.folder / MANIFEST).read_bytes()
    (spoiled.folder / MANIFEST).write_text(whole)
    hostile = _rewritten(archive, tmp_path / "hostile.tar.gz", nonsense)
    with pytest.raises(UserError, match=f"{MANIFEST} cannot be read"):
        import_archive(Store(tmp_path / "elsewhere"), hostile)
    assert Store(tmp_path / "elsewhere").ids("runs") == []


def _rewritten(archive: Path, target: Path, manifest: bytes) -> Path:
    """As somebody would write it who means harm: its checksums hold."""
    with tarfile.open(archive) as old, tarfile.open(target, "w:gz") as new:
        contents = {m.name: old.extractfile(m).read() for m in old if m.isreg()}  # type: ignore[union-attr]
        name = next(n for n in contents if n.endswith(f"/{MANIFEST}"))
        contents[name] = manifest
        listed = json.loads(contents["files.json"])
        contents["files.json"] = json.dumps(listed | {MANIFEST: hashlib.sha256(manifest).hexdigest()}).encode()
        for member, content in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return target
