"""Two processes on one run (gloo on the CPU) do what one does alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from a_server import free_port
from interruption import StopAfter
from safetensors.numpy import load_file
from team import CONFIGS, SHARDED, STOP_AFTER, first_items

from llmesr import processes
from llmesr.cli.together import ended
from llmesr.config import EmbedConfig
from llmesr.data.dataset import Dataset
from llmesr.data.synthetic import make
from llmesr.errors import UserError
from llmesr.methods import Inputs
from llmesr.objectives.terms import NextItem
from llmesr.runs.record import MODEL, Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store
from llmesr.training import train as training
from llmesr.training.checkpoint import load_tensors
from llmesr.training.model import load_model
from llmesr.training.stopping import Stopped
from llmesr.training.train import resume, train

CLOSE = 1e-5
KEY_BIAS = "attention.memory.bias"
"""Its first half shifts all attention scores of a row alike and so changes nothing: its gradient is nothing but
rounding, which Adam makes steps of."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Dataset, Embedding]:
    """A root in which two processes have trained ``id-two`` and ``llm-esr-two`` and left ``stopped``."""
    folder = tmp_path_factory.mktemp("together")
    store = Store(folder / "artifacts")
    data = make(store, name="tiny", users=121, items=60, seed=1)
    rows = np.random.default_rng(0).normal(size=(data.n_items, 12)).astype(np.float32)
    np.savez(folder / "vectors.npz", item_ids=data.catalogue["item_id"].to_numpy(str), vectors=rows)
    vectors = embed(data, EmbedConfig(embedder=f"file:{folder / 'vectors.npz'}"), store)
    with (
        mock.patch.object(NextItem, "draw", first_items),
        mock.patch.object(training, "terminate", StopAfter(STOP_AFTER)),
        pytest.raises(Stopped),
    ):
        train(data, SHARDED["id"], store, run_id="alone-first", device="cpu")
    call = [sys.executable, str(Path(__file__).with_name("team.py")), str(store.root), data.id, vectors.id]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    team = [
        subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env={**os.environ, **meeting, "RANK": str(rank)})
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240)[1] for process in team]
    assert [process.returncode for process in team] == [0, 0], "\n".join(said)
    return store, data, vectors


def assert_same(one: Run, two: Run) -> None:
    alone, together = (load_tensors(run.folder / MODEL)[0] for run in (one, two))
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        counted = slice(len(tensor) // 2, None) if name.endswith(KEY_BIAS) else slice(None)
        torch.testing.assert_close(together[name][counted], tensor[counted], atol=CLOSE, rtol=CLOSE)
    watched = [name for name in one.events() if name.startswith("loss")]
    np.testing.assert_allclose(two.events()[watched], one.events()[watched], rtol=1e-5)
    first, second = ([r["value"] for r in run.metrics() if r["users"]] for run in (one, two))
    np.testing.assert_allclose(second, first, atol=1e-2)  # a rank may change where two items score alike
    assert np.abs(one.per_user()["rank"] - two.per_user()["rank"]).mean() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CONFIGS))
def test_two_processes_train_what_one_trains(name: str, trained: tuple[Store, Dataset, Embedding]) -> None:
    store, data, vectors = trained
    one = train(data, CONFIGS[name], store, embedding=vectors, run_id=f"{name}-one", device="cpu")
    two = Run(store, f"{name}-two")
    assert_same(one, two)
    assert two.manifest.device == "2 x cpu"
    assert two.events()["epoch"].tolist() == [1, 2, 3]  # written once
    assert len(two.top_items()) == len(data.split.users("test"))
    assert (two.top_items()[:, 0] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llm-esr-file", "stopped-file"])
def test_teachers_in_a_file_of_both_are_those_in_memory(name: str, trained: tuple[Store, Dataset, Embedding]) -> None:
    """Bit for bit, also where both stop and go on."""
    store, _, _ = trained
    held, read = (load_tensors(Run(store, run).folder / MODEL)[0] for run in ("llm-esr-two", name))
    assert all(torch.equal(held[key], read[key]) for key in held)
    assert Run(store, "llm-esr-two").events()["loss"].tolist() == Run(store, name).events()["loss"].tolist()
    assert not list(Run(store, name).folder.rglob("*.states"))


@pytest.mark.slow
def test_asked_to_stop_one_stops_all_and_one_alone_goes_on(trained: tuple[Store, Dataset, Embedding]) -> None:
    store, data, vectors = trained
    run = Run(store, "stopped")
    assert run.status().state == "STOPPED"
    assert len(run.events()) == 1  # in the middle of the second epoch
    resume(run, device="cpu")
    assert run.status().state == "SUCCEEDED"
    assert_same(train(data, CONFIGS["llm-esr"], store, embedding=vectors, run_id="whole", device="cpu"), run)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SHARDED))
def test_a_table_spread_over_two_learns_what_a_whole_one_learns(
    name: str, trained: tuple[Store, Dataset, Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one process, and of two that each hold all of it; be it stopped and gone on with by another number of them."""
    store, data, vectors = trained
    monkeypatch.setattr(NextItem, "draw", first_items)
    options: dict[str, Any] = {"embedding": vectors, "device": "cpu"}
    alone = train(data, SHARDED[name].but(item_updates="sparse"), store, run_id=f"{name}-sampled", **options)
    spread = Run(store, f"{name}-sharded")
    assert_same(alone, spread)
    assert spread.manifest.info["parameters"] == alone.manifest.info["parameters"]
    same_users = (spread.top_items() == alone.top_items()).mean()
    assert same_users > 0.95  # items that score alike may change places
    if name == "id":
        assert_same(Run(store, "id-replicated"), spread)
        assert_same(alone, Run(store, "alone-first"))
    else:
        resume(Run(store, "stopped-sharded"), device="cpu")
        assert_same(alone, Run(store, "stopped-sharded"))


@pytest.mark.slow
def test_a_finished_run_is_an_ordinary_one_and_its_checkpoints_are_shards(
    trained: tuple[Store, Dataset, Embedding],
) -> None:
    store, data, _ = trained
    run = Run(store, "id-sharded")
    model = load_model(run, Inputs(n_items=data.n_items))
    assert len(model.candidates()) == data.n_items + 1
    files = sorted(path.name for path in run.checkpoints.iterdir())
    assert [name.split(".")[0] for name in files] == ["best"] * 3 + ["last"] * 3  # each with two files of rows
    rows = [load_file(path)["model/tables.collaborative.vectors"] for path in run.checkpoints.glob("last.*-of-2.*")]
    assert sum(map(len, rows)) == data.n_items + 2
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def command(store: Store, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "LLMESR_ARTIFACTS": str(store.root), "OMP_NUM_THREADS": "1"}
    environment.pop("WORLD_SIZE", None)
    call = [sys.executable, "-m", "llmesr", *words]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_the_command_starts_its_processes_stops_them_and_goes_on(trained: tuple[Store, Dataset, Embedding]) -> None:
    store, data, _ = trained
    settings = ["--set", "epochs=40", "--set", "patience=40", "--set", "embedding_size=8", "--set", "batch_size=4"]
    words = ["train", data.id, "--method", "id", "--run-id", "long", "--device", "cpu", *settings]
    process = command(store, *words, "--processes", "2", "--json")
    until = time.monotonic() + 120
    while not ((store.root / "runs" / "long").is_dir() and len(Run(store, "long").events()) >= 2):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.2)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert Run(store, "long").status().state == "STOPPED", said
    assert (process.returncode, said) == (130, "Stopped; `llmesr resume` continues from here.\n")
    process = command(store, *words, "--processes", "2")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == "Error: Run 'long' exists already; resume it with `llmesr resume long` or delete it.\n"
    before = len(Run(store, "long").events())
    process = command(store, "resume", "long", "--device", "cpu", "--processes", "2", "--json")
    printed, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert json.loads(printed) == {"run": "long"}  # one process speaks
    assert Run(store, "long").events()["epoch"].tolist() == list(range(1, 41))
    assert before < 40


@pytest.mark.parametrize("words", [["list"], ["profile", "tiny"]])
def test_other_commands_refuse_to_run_twice(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from llmesr.cli.main import app

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=f"{words[0]} works in one process"):
        app(words, standalone_mode=False)


class Pair:
    """Two processes by turns, with the store that torchrun gives them and keeps."""

    def __init__(self) -> None:
        self.store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]

    def run(self, code: str, *arguments: str) -> list[tuple[str, str]]:
        """What both print, and say on standard error."""
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.store.port)}
        environment = {**os.environ, **place, "TORCHELASTIC_USE_AGENT_STORE": "True"}
        call = [sys.executable, "-c", code, *arguments]
        started = [
            subprocess.Popen(call, env={**environment, "RANK": str(rank)}, text=True, stdout=-1, stderr=-1)
            for rank in range(2)
        ]
        try:
            return [process.communicate(timeout=60) for process in started]
        finally:
            for process in started:
                process.kill()


@pytest.mark.parametrize(
    ("code", "ends", "said"), [(2, 2, ""), (1, 1, ""), (-9, 1, "SIGKILL. The machine may"), (-11, 1, "SIGSEGV. `")]
)
def test_a_process_that_could_not_speak_is_spoken_for(
    code: int, ends: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(code) == ends
    spoken = capsys.readouterr().err.replace("\n", " ")
    assert (said in spoken) if said else not spoken


LEAVING = """
import sys, torch
from llmesr.errors import UserError
from llmesr.processes import joined
try:
    with joined(torch.device("cpu")) as processes:
        if processes.rank == int(sys.argv[1]):
            raise UserError("own words")
        processes.barrier()
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("failing", [0, 1])
def test_who_loses_the_others_says_so_in_words(failing: int) -> None:
    said = [said for said, _ in Pair().run(LEAVING, str(failing))]
    assert said[failing] == "own words\n"
    assert said[1 - failing].startswith("Another process of this training has ended. `llmesr resume` goes on")


MEMBER = """
import os, sys, time, torch
from llmesr.processes import joined
time.sleep(float(sys.argv[1]) * int(os.environ["RANK"]))
with joined(torch.device("cpu")) as processes:
    print(processes.total(torch.tensor(1 + processes.rank)).item())
"""


def test_processes_that_are_started_again_look_for_nobody_of_before() -> None:
    """torchrun keeps its store, in which the addresses of those that are gone still stand."""
    pair = Pair()
    for late in (0, 4):  # of those that are started again the second comes when the first has looked for it
        both = pair.run(MEMBER, str(late))
        assert [said for said, _ in both] == ["3\n", "3\n"], both


def test_a_process_that_nobody_joins_gives_up_and_can_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "MEETING", timedelta(seconds=1))
    alone = processes.joined(torch.device("cpu"))
    with pytest.raises(UserError, match="The 2 processes of this training have not all met within 1 s"):
        alone.__enter__()
