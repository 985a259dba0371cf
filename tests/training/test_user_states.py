"""Teachers in a file of the run: it learns as with all of them in memory, bit for bit, and the file does not stay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from interruption import stopped
from safetensors.torch import load_file

from llmesr.config import EmbedConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.row_file import RowFile
from llmesr.errors import UserError
from llmesr.objectives.base import EncodedBatch, States
from llmesr.objectives.terms import Distillation
from llmesr.runs.record import MODEL, Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.semantic.embedders.precomputed import write_vectors
from llmesr.store import Store
from llmesr.training import user_states
from llmesr.training.checkpoint import load_tensors
from llmesr.training.loop import LAST, Loop
from llmesr.training.train import resume, train
from llmesr.training.user_states import SUFFIX, UserStates

SMALL: dict[str, Any] = {"embedding_size": 8, "epochs": 3, "batch_size": 16, "dropout": 0.3, "max_length": 8}
IN_FILE, IN_MEMORY = 0, 2**62


@pytest.fixture
def text(tiny: Dataset, store: Store, tmp_path: Path) -> Embedding:
    rows = np.random.default_rng(0).normal(size=(tiny.n_items, 12)).astype(np.float32)
    file = write_vectors(tmp_path / "vectors.npz", rows, tiny.catalogue["item_id"].tolist())
    return embed(tiny, EmbedConfig(embedder=f"file:{file}"), store)


@pytest.fixture
def in_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_states, "IN_FILE_FROM", IN_FILE)


def left(run: Run) -> list[str]:
    """The files of states that lie in a run's folder."""
    return sorted(path.name for path in run.folder.rglob(f"*{SUFFIX}"))


def same(one: Run, two: Run) -> None:
    first, second = (load_file(run.folder / MODEL) for run in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [run.events()["loss"].tolist() for run in (one, two)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("half_from", [10, 10**6], ids=["float16", "float32"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"teacher_refresh": 3, "distillation": "contrastive"}, {"backbone": "bert4rec", "loss": "bce"}],
    ids=["mse", "contrastive", "bert4rec"],
)
def test_a_run_is_the_same_bit_for_bit(
    tiny: Dataset,
    text: Embedding,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    half_from: int,
) -> None:
    monkeypatch.setattr(user_states, "HALF_FROM", half_from)
    monkeypatch.setattr(user_states, "BLOCK", 64)  # several blocks, so that the last one is a part of one
    runs = []
    for limit in (IN_MEMORY, IN_FILE):
        monkeypatch.setattr(user_states, "IN_FILE_FROM", limit)
        runs.append(train(tiny, RunConfig.read(None, method="llm-esr", **{**SMALL, **settings}), store, embedding=text))
    same(*runs)
    assert left(runs[1]) == []


@pytest.mark.parametrize("steps", [2, 9])
@pytest.mark.usefixtures("in_file")
def test_resuming_equals_never_having_stopped(tiny: Dataset, text: Embedding, store: Store, steps: int) -> None:
    config = RunConfig.read(None, method="llm-esr", teacher_refresh=3, **SMALL)
    whole = train(tiny, config, store, embedding=text, run_id="whole")
    stopped(steps, tiny, config, store, embedding=text, run_id="broken")
    broken = Run(store, "broken")
    tensors, state = load_tensors(broken.checkpoint(LAST))
    assert list(state["files"].values()) == left(broken)
    assert len(left(broken)) == 1
    assert not [name for name in tensors if "distillation" in name], "a checkpoint holds no copy"
    resume(broken)
    same(whole, broken)
    assert left(broken) == []


class Killed(BaseException):
    """What ends a process between two instructions; nothing tidies up after it here."""


@pytest.mark.parametrize("stopped_at", [None, 4])
@pytest.mark.usefixtures("in_file")
def test_a_file_that_is_half_written_is_never_gone_on_with(
    tiny: Dataset, text: Embedding, store: Store, monkeypatch: pytest.MonkeyPatch, stopped_at: int | None
) -> None:
    """Killed while teachers are encoded, before there was a checkpoint or after one within an epoch."""
    config = RunConfig.read(None, method="llm-esr", teacher_refresh=6, **SMALL)
    whole = train(tiny, config, store, embedding=text, run_id="whole")
    if stopped_at is not None:
        stopped(stopped_at, tiny, config, store, embedding=text, run_id="broken")
    named = left(Run(store, "broken")) if stopped_at else []
    with monkeypatch.context() as patch:
        patch.setattr(user_states, "BLOCK", 64)
        encoded = UserStates._states
        patch.setattr(UserStates, "_states", lambda self, users, most: killed_after_one(encoded, self, users, most))
        patch.setattr(UserStates, "sweep", lambda self: None)
        with pytest.raises(Killed):
            resume(Run(store, "broken")) if stopped_at else train(tiny, config, store, embedding=text, run_id="broken")
    broken = Run(store, "broken")
    assert len(left(broken)) == len(named) + 1
    seen: list[list[str]] = []
    step = Loop._step

    def looking(loop: Loop, chosen: np.ndarray) -> dict[str, torch.Tensor]:
        seen.append(left(loop.run))
        return step(loop, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", looking)
        resume(broken)
    assert max(map(len, seen)) == len(named) + 1, "what the checkpoint names, and what is read"
    assert len(seen[-1]) == 1, "the older one goes once no checkpoint names it"
    same(whole, broken)
    assert left(broken) == []


def killed_after_one(encoded: Any, states: UserStates, users: np.ndarray, most: int) -> torch.Tensor:
    if users[0]:
        raise Killed
    return cast(torch.Tensor, encoded(states, users, most))


@pytest.mark.usefixtures("in_file")
def test_an_epoch_that_breaks_off_leaves_no_file(
    tiny: Dataset, text: Embedding, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(loop: Loop, chosen: np.ndarray) -> dict[str, torch.Tensor]:
        assert len(left(loop.run)) == 1
        raise MemoryError

    monkeypatch.setattr(Loop, "_step", breaks)
    with pytest.raises(MemoryError):
        train(tiny, RunConfig.read(None, method="llm-esr", **SMALL), store, embedding=text, run_id="r")
    assert left(Run(store, "r")) == []


@pytest.mark.usefixtures("in_file")
def test_without_its_file_a_checkpoint_says_what_to_do(tiny: Dataset, text: Embedding, store: Store) -> None:
    config = RunConfig.read(None, method="llm-esr", **SMALL)
    stopped(9, tiny, config, store, embedding=text, run_id="broken")
    broken = Run(store, "broken")
    file = broken.checkpoint(left(broken)[0])
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"is gone or damaged.*Remove .*last\.safetensors and resume"):
        resume(broken)
    broken.checkpoint(LAST).unlink()
    same(train(tiny, config, store, embedding=text), resume(broken))


@pytest.mark.usefixtures("in_file")
def test_cut_short_after_going_on_it_leaves_no_file(tiny: Dataset, text: Embedding, store: Store) -> None:
    """The checkpoint within the second epoch still names one when the first epoch is taken for the best."""
    config = RunConfig.read(None, method="llm-esr", **SMALL)
    stopped(9, tiny, config, store, embedding=text, run_id="broken")
    broken = Run(store, "broken")
    assert len(left(broken)) == 1
    resume(broken, enough=lambda: True)
    assert broken.manifest.info["cut_short"]
    assert left(broken) == []


def test_many_users_lie_in_a_file_by_themselves(tiny: Dataset, text: Embedding, store: Store) -> None:
    """From 128 MB of states on."""
    states: list[UserStates] = []
    encode = UserStates.encode

    def kept(made: UserStates, when: str) -> States:
        states.append(made)
        return encode(made, when)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UserStates, "encode", kept)
        train(tiny, RunConfig.read(None, method="llm-esr", **{**SMALL, "epochs": 1}), store, embedding=text)
        made = states[0]
        assert made.nbytes == (tiny.n_users + 1) * 16 * 4
        assert isinstance(made.encode("now"), torch.Tensor)
        patch.setattr(user_states, "IN_FILE_FROM", made.nbytes)
        assert isinstance(made.encode("now"), RowFile)
        patch.setattr(user_states, "IN_FILE_FROM", made.nbytes + 1)
        assert isinstance(made.encode("now"), torch.Tensor)
    assert user_states.IN_FILE_FROM == 2**27


def test_a_step_reads_each_teacher_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users 0 and 2 learn from 1 and 3, user 1 from nobody, user 3 from 1 alone."""
    similar = torch.tensor([[1, 3], [-1, -1], [3, 1], [1, -1]], dtype=torch.int32)
    teachers = np.array([[9.0], [2.0], [9.0], [4.0], [0.0]], np.float32)
    (tmp_path / "t").write_bytes(teachers.tobytes())
    asked: list[list[int]] = []
    single = RowFile.__getitem__

    def reading(self: RowFile, rows: np.ndarray) -> np.ndarray:
        asked.append(rows.tolist())
        return single(self, rows)

    monkeypatch.setattr(RowFile, "__getitem__", reading)
    found = []
    for states in (torch.from_numpy(teachers), RowFile(tmp_path / "t", 0, (5, 1), np.dtype(np.float32))):
        objective = Distillation(similar=similar, kind="mse", weight=1.0, every=0)
        objective.refresh(0, lambda states=states: states)  # type: ignore[misc]
        users = torch.tensor([0, 1, 2, 3])
        batch = cast(EncodedBatch, SimpleNamespace(users=users, user_states=torch.zeros(4, 1)))
        assert int(objective.examples(batch)) == 3
        found.append(float(objective(batch)))
    assert asked == [[1, 3, 4]]
    assert found == [pytest.approx((9 + 9 + 4) / 3)] * 2
