"""fetch, ingest, profile and convert as a person or a script calls them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from llmesr.cli import output
from llmesr.cli.main import app, main
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.errors import UserError
from llmesr.store import Store

runner = CliRunner()
SHOP = "wer,was,wann\n" + "".join(f"u{u},{i:03d},{1_500_000_000 + 10 * u + i}\n" for u in range(6) for i in range(4))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "orders.csv").write_text(SHOP)
    (folder / "items.csv").write_text("id,label\n" + "".join(f"{i:03d},Thing {i}\n" for i in range(4)))
    return folder


COLUMNS = ["--column", "user_id=wer", "--column", "item_id=was", "--column", "timestamp=wann"]


def test_ingest_prints_one_json_document(store: Store, shop: Path) -> None:
    arguments = ["ingest", str(shop), "--k-core", "2", *COLUMNS, "--item-column", "title=label", "--json"]
    done = runner.invoke(app, arguments, catch_exceptions=False)
    document = json.loads(done.stdout)
    dataset = load_dataset(store, document["id"])
    assert dataset.name == "shop"
    assert dataset.manifest.config["k_core"] == 2
    assert dataset.catalogue["item_id"].tolist() == ["000", "001", "002", "003"]
    assert dataset.catalogue["title"].tolist() == [f"Thing {i}" for i in range(4)]
    assert document["users"] == 6
    again = json.loads(runner.invoke(app, arguments, catch_exceptions=False).stdout)
    assert again["id"] == document["id"]


def test_ingest_tells_a_person_what_it_found(store: Store, shop: Path) -> None:
    done = runner.invoke(app, ["ingest", str(shop), "--name", "mine", *COLUMNS], catch_exceptions=False)
    assert "2-core" in done.stdout
    assert "user_id from 'wer'" in done.stderr.replace("\n", " ")


def test_settings_from_a_file_and_set(store: Store, shop: Path, tmp_path: Path) -> None:
    settings = tmp_path / "ingest.yaml"
    settings.write_text("name: filed\nk_core: 3\ncolumns: {user_id: wer, item_id: was, timestamp: wann}\n")
    arguments = ["ingest", str(shop), "--config", str(settings), "--set", "seed=9", "--json"]
    document = json.loads(runner.invoke(app, arguments, catch_exceptions=False).stdout)
    manifest = store.manifest("datasets", document["id"])
    assert (manifest.name, manifest.config["k_core"], manifest.seed) == ("filed", 3, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ingest", "nowhere.csv"], "nowhere.csv"),
        (["ingest", "SHOP"], "Cannot tell which column of orders.csv is the user_id"),
        (["ingest", "SHOP", "--column", "user_id"], "--column takes field=column"),
        (["ingest", "SHOP", "--set", "kcore=3"], "Unknown setting 'kcore'"),
        (["profile", "nothing"], "no dataset called 'nothing'"),
        (["fetch", "no-such-data"], "not a known dataset"),
    ],
)
def test_bad_input_exits_with_2_and_one_sentence(
    arguments: list[str],
    words: str,
    store: Store,
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["llmesr", *(str(shop) if a == "SHOP" else a for a in arguments)])
    monkeypatch.setattr(output, "err", Console(stderr=True, width=1000))
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.out == ""
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not list((store.root / "datasets").glob("*"))


def test_the_installed_command_exits_with_2(store: Store, tmp_path: Path) -> None:
    called = [sys.executable, "-m", "llmesr", "ingest", "nowhere.csv"]
    done = subprocess.run(called, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_profile(tiny: Dataset) -> None:
    done = runner.invoke(app, ["profile", "tiny", "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert document["id"] == tiny.id
    assert document["users"] == 120
    assert document["training_interactions"] == int(tiny.split.train_lengths.sum())
    human = runner.invoke(app, ["profile", "tiny"], catch_exceptions=False)
    assert "Gini of item popularity" in human.stdout
    assert "Tail item: fewer than" in human.stderr.replace("\n", " ")


def test_fetch_lists_what_is_known() -> None:
    document = json.loads(runner.invoke(app, ["fetch", "--list", "--json"], catch_exceptions=False).stdout)
    assert "ml-100k" in {d["name"] for d in document["datasets"]}


def test_convert_needs_trust_and_writes_plain_arrays(tmp_path: Path) -> None:
    source, target = tmp_path / "itm_emb.pkl", tmp_path / "items.npy"
    source.write_bytes(pickle.dumps([[0.5, 1.0], [2.0, 3.0]]))
    with pytest.raises(UserError, match="--trust"):
        runner.invoke(app, ["convert", str(source), str(target)], catch_exceptions=False)
    assert not target.exists()
    done = runner.invoke(app, ["convert", str(source), str(target), "--trust", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["shape"] == [2, 2]
    assert np.load(target, allow_pickle=False).tolist() == [[0.5, 1.0], [2.0, 3.0]]


class Hostile:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("made-by-a-pickle",))


def test_an_untrusted_pickle_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError):
        runner.invoke(app, ["convert", "x.pkl", "x.npy"], catch_exceptions=False)
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize("value", [{"a": 1}, [[1, 2], [3]], ["a", "b"], [1, 2, 3]])
def test_convert_refuses_what_is_no_table(value: object, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(UserError, match=r"x\.pkl"):
        runner.invoke(
            app, ["convert", str(tmp_path / "x.pkl"), str(tmp_path / "x.npy"), "--trust"], catch_exceptions=False
        )
    assert not (tmp_path / "x.npy").exists()
